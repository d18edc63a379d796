/** Dense split-KV decode with subgroup shuffles. The last workgroup merges, if it may. */
import type { DeviceLimits, Kernel, Plan, Variant } from "../core/variant.ts";
import { CACHE_ROWS, type Params, ranges } from "../core/problem/constants.ts";
import { dispatch } from "../core/dispatch.ts";
import { specs } from "../core/layout.ts";
import { groupSize, isRagged } from "../core/problem/derived.ts";
import type { Problem } from "../core/problem/problem.ts";
import {
  lanesFor,
  refusesShuffledRows,
  ROW_SPLIT_RANGES,
  ROW_SPLIT_TUNABLES,
} from "../core/row_split.ts";
import { denseCost, splitsFor, splitsWithin } from "./split.ts";
import { defineKernel, defineVariant } from "../core/define.ts";
import {
  HAND_OVER_CODE,
  handOverParam,
  handOverSpec,
  joinPortions,
  joinSplits,
  listsPerKvHead,
  raggedHandOverSpec,
  refusesHandOver,
} from "../merge/hand_over.ts";
import raggedSource from "./split_ragged.wgsl" with { type: "text" };
import source from "./split_subgroup.wgsl" with { type: "text" };

const KERNEL_RANGES = {
  ...ranges("HEAD_DIM", "BATCH", "GROUP", "KV_HEADS", "CAPACITY", "KV_DTYPE"),
  ...ranges(...CACHE_ROWS),
  HEADS: { min: 1, max: 64 },
  ...ROW_SPLIT_RANGES,
  PREFETCH: [0, 1],
  JOINED: { min: 1, max: 8 },
  SPLITS: { min: 1, max: 1024 },
  HAND_OVER: Object.values(HAND_OVER_CODE),
};

/** `split_subgroup.wgsl`. */
export const splitSubgroupKernel: Kernel = defineKernel({
  name: "dense/split_subgroup",
  source,
  params: KERNEL_RANGES,
  features: ["subgroups"],
});

/** `split_ragged.wgsl`. */
export const splitRaggedKernel: Kernel = defineKernel({
  name: "dense/split_ragged",
  source: raggedSource,
  params: KERNEL_RANGES,
  features: ["subgroups"],
});

/** The plan in which SPLITS workgroups of a list share out the tokens of all sequences. */
function raggedPlan(p: Problem, params: Params): Plan {
  const { HEADS: heads, SPLITS: splits, WORKGROUP, LANES, TOKENS } = params;
  const lists = p.kvHeads * listsPerKvHead(p, heads);
  return {
    buffers: {
      ...specs(p, "input", "lengths", "q", "keys", "values", "sink_logits"),
      ...raggedHandOverSpec(p, { lists, heads, splits }),
      ...specs(p, "output", "out"),
    },
    dispatches: [
      dispatch(splitRaggedKernel, p, params, [splits, lists, 1]),
      ...joinPortions(p, params, WORKGROUP / LANES * TOKENS),
    ],
  };
}

function plan(p: Problem, params: Params): Plan {
  const { HEADS: heads, SPLITS: splits } = params;
  if (params.SHARED === 1) return raggedPlan(p, params);
  const lists = p.kvHeads * listsPerKvHead(p, heads);
  const join = joinSplits(p, params, heads);
  return {
    buffers: {
      ...specs(p, "input", "lengths", "q", "keys", "values", "sink_logits"),
      ...handOverSpec(p, { lists: p.batch * lists, heads, splits }),
      ...join.buffers,
      ...specs(p, "output", "out"),
    },
    dispatches: [
      dispatch(splitSubgroupKernel, p, params, [splits, lists, p.batch]),
      ...join.dispatches,
    ],
  };
}

function refuses(p: Problem, params: Params, limits: DeviceLimits): string | undefined {
  if (params.HEADS > groupSize(p)) {
    return `${params.HEADS} query heads of a list exceed the group of ${groupSize(p)}`;
  }
  if (params.WORKGROUP < p.headDim / 4) {
    return `${params.WORKGROUP} threads are too few for a row of ${p.headDim}`;
  }
  if (params.JOINED > params.HEADS) {
    return `${params.JOINED} heads cannot be joined at a time, since a list has ${params.HEADS}`;
  }
  return refusesHandOver(params, limits) ?? refusesShuffledRows(p, params, limits);
}

/** Dense decode for devices with subgroups. */
export const denseSplitSubgroup: Variant = defineVariant({
  name: "dense/split_subgroup",
  stage: "dense",
  description: "split-KV; sums dots by subgroup shuffles, the last workgroup merges if it may",
  tunables: {
    ...ROW_SPLIT_TUNABLES,
    WORKGROUP: [128, 256, 512],
    HEADS: [1, 2, 3, 4, 5, 7, 8],
    PREFETCH: [0, 1],
    JOINED: [1, 2, 4],
    SPLITS: [8, 16, 32, 33, 66],
    SHARED: [0, 1],
  },
  features: ["subgroups"],
  defaults(p, limits) {
    // More than four query heads would take the registers of a second workgroup on an SM.
    const lists = Math.ceil(groupSize(p) / 4);
    const HEADS = Math.ceil(groupSize(p) / lists);
    const SHARED = Number(isRagged(p));
    // With one head per list, an SM has registers for several workgroups. More workgroups than
    // fit at once let the scheduler balance the tail. With several heads, an SM has room for two,
    // and a few workgroups more than fit at once would take a second round.
    const [workgroups, splits] = groupSize(p) === 1 ? [1024, splitsFor] : [256, splitsWithin];
    const heads = p.kvHeads * lists;
    const params = {
      HAND_OVER: handOverParam(limits),
      HEADS,
      LANES: lanesFor(p, Math.min(16, limits.subgroupMinSize ?? 4), HEADS),
      TOKENS: 2,
      PREFETCH: 1,
      SPLITS: SHARED === 1
        ? splitsFor({ ...p, batch: 1 }, heads, p.batch * p.capacity, workgroups)
        : splits(p, heads, p.capacity, workgroups),
      SHARED,
    };
    // With small subgroups a workgroup has more row groups and needs more memory. Joining more heads
    // at a time would take the memory of a second workgroup on an SM.
    const settings = [256, 128, 64].flatMap((WORKGROUP) =>
      [2, 1].map((JOINED) => ({ ...params, WORKGROUP, JOINED: Math.min(JOINED, params.HEADS) }))
    );
    return settings.find((setting) => !denseSplitSubgroup.refuses(p, setting, limits)) ??
      settings[settings.length - 1];
  },
  refuses,
  plan,
  cost: denseCost,
});
