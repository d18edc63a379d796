/** Dense split-KV decode for GQA groups, whose softmax is scattered over the lanes of a row. */
import type { DeviceLimits, Kernel, Plan, Variant } from "../core/variant.ts";
import { CACHE_ROWS, type Params, ranges } from "../core/problem/constants.ts";
import { dispatch } from "../core/dispatch.ts";
import { specs } from "../core/layout.ts";
import { groupSize } from "../core/problem/derived.ts";
import type { Problem } from "../core/problem/problem.ts";
import {
  refusesShuffledRows,
  ROW_SPLIT_RANGES,
  ROW_SPLIT_TUNABLES,
  rowLoads,
} from "../core/row_split.ts";
import { denseCost, splitsWithin } from "./split.ts";
import { defineKernel, defineVariant } from "../core/define.ts";
import { HAND_OVER_CODE, handOverSpec, joinSplits, listsPerKvHead } from "../merge/hand_over.ts";
import source from "./split_scatter.wgsl" with { type: "text" };

/** `split_scatter.wgsl`. */
export const splitScatterKernel: Kernel = defineKernel({
  name: "dense/split_scatter",
  source,
  params: {
    ...ranges("HEAD_DIM", "BATCH", "GROUP", "KV_HEADS", "CAPACITY", "KV_DTYPE"),
    ...ranges(...CACHE_ROWS),
    HEADS: { min: 1, max: 16 },
    ...ROW_SPLIT_RANGES,
    WORKGROUP: [32, 64, 128, 192, 256, 384, 512],
    PREFETCH: [0, 1, 2, 3],
    HELD: [0, 1],
    PERMUTED: [0, 1],
    BY_INDEX: [0, 1],
    FIXED: [0, 1],
    PAIRED: [0, 1],
    JOINED: { min: 1, max: 8 },
    SPLITS: { min: 1, max: 1024 },
  },
  features: ["subgroups"],
});

function plan(p: Problem, params: Params): Plan {
  const { HEADS: heads, SPLITS: splits } = params;
  const lists = p.kvHeads * listsPerKvHead(p, heads);
  const join = joinSplits(p, { ...params, HAND_OVER: HAND_OVER_CODE.dispatch }, heads);
  return {
    buffers: {
      ...specs(p, "input", "lengths", "q", "keys", "values", "sink_logits"),
      ...handOverSpec(p, { lists: p.batch * lists, heads, splits }),
      ...join.buffers,
      ...specs(p, "output", "out"),
    },
    dispatches: [
      dispatch(splitScatterKernel, p, params, [splits, lists, p.batch]),
      ...join.dispatches,
    ],
  };
}

/** Lanes that the heads of a list take: a power of two. */
function headLanes(heads: number): number {
  return 2 ** Math.ceil(Math.log2(heads));
}

/** The most lanes up to `most`, a power of two, that share a row evenly. */
function evenLanes(p: Problem, most: number): number {
  return [16, 8, 4, 2].find((lanes) => lanes <= most && rowLoads(p) % lanes === 0) ?? 1;
}

/** Whether each subgroup has two row groups or more. */
function canPair({ WORKGROUP, LANES }: Params, limits: DeviceLimits): boolean {
  return 2 * LANES <= (limits.subgroupMinSize ?? 0) && WORKGROUP % (2 * LANES) === 0;
}

function refuses(p: Problem, params: Params, limits: DeviceLimits): string | undefined {
  if (rowLoads(p) % params.LANES !== 0) {
    return `${params.LANES} lanes cannot share the ${rowLoads(p)} loads of a row evenly`;
  }
  if (params.HEADS > groupSize(p)) {
    return `${params.HEADS} query heads of a list exceed the group of ${groupSize(p)}`;
  }
  if (headLanes(params.HEADS) > params.LANES) {
    return `${params.LANES} lanes are too few for ${params.HEADS} query heads`;
  }
  if (params.WORKGROUP < p.headDim / 4) {
    return `${params.WORKGROUP} threads are too few for a row of ${p.headDim}`;
  }
  if (params.JOINED > params.HEADS) {
    return `${params.JOINED} heads cannot be joined at a time, since a list has ${params.HEADS}`;
  }
  if (params.PAIRED === 1 && !canPair(params, limits)) {
    return `PAIRED demands an even number of row groups and subgroups of ${
      2 * params.LANES
    } threads`;
  }
  return refusesShuffledRows(p, params, limits);
}

/** Dense decode for devices with subgroups. */
export const denseSplitScatter: Variant = defineVariant({
  name: "dense/split_scatter",
  stage: "dense",
  description: "split-KV; subgroup shuffles scatter the dots of a group, one head for each lane",
  tunables: {
    ...ROW_SPLIT_TUNABLES,
    WORKGROUP: [128, 192, 256],
    HEADS: [1, 2, 3, 4, 5, 7, 8],
    PREFETCH: [0, 1, 2, 3],
    HELD: [0, 1],
    PERMUTED: [0, 1],
    BY_INDEX: [0, 1],
    FIXED: [0, 1],
    PAIRED: [0, 1],
    JOINED: [1, 2, 4],
    SPLITS: [8, 16, 32, 33, 66],
  },
  features: ["subgroups"],
  defaults(p, limits) {
    const LANES = evenLanes(p, Math.min(16, limits.subgroupMinSize ?? 4));
    // More than eight query heads would take the registers of a second workgroup on an SM.
    const lists = Math.ceil(groupSize(p) / Math.min(8, LANES));
    const HEADS = Math.ceil(groupSize(p) / lists);
    const PERMUTED = Number(headLanes(HEADS) === HEADS);
    const isTint = limits.compiler === "tint";
    const queryQuads = HEADS * p.headDim / 4 / LANES; // vec4f of the queries per thread
    const params = {
      HEADS,
      LANES,
      TOKENS: HEADS > 4 ? 4 : 2,
      PREFETCH: 1,
      // Queries in registers leave room there for two workgroups on an SM, unless they are many.
      // Under Tint, those of four heads seem to leave room for one workgroup of 256 threads only.
      HELD: Number((HEADS <= 5 || queryQuads <= 16) && !(isTint && HEADS === 4)),
      PERMUTED,
      BY_INDEX: Number(isTint),
      // Only what naga makes of lists of eight heads is slower with it.
      FIXED: Number(isTint || PERMUTED === 0),
      // One workgroup more than run side by side would begin a second wave.
      SPLITS: splitsWithin(p, p.kvHeads * lists, p.capacity, 264),
    };
    const settings = (HEADS > 4 ? [128, 64, 32] : [256, 128, 64, 32]).flatMap((WORKGROUP) =>
      [4, 1].map((JOINED) => ({
        ...params,
        WORKGROUP,
        PAIRED: Number(canPair({ WORKGROUP, LANES }, limits)),
        JOINED: Math.min(JOINED, HEADS),
      }))
    );
    return settings.find((setting) => !denseSplitScatter.refuses(p, setting, limits)) ??
      settings[settings.length - 1];
  },
  refuses,
  plan,
  cost: denseCost,
});
