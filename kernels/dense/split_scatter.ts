/** Dense split-KV decode for large GQA groups, whose softmax is scattered over the lanes of a row. */
import type { DeviceLimits, Kernel, Params, Plan, Variant } from "../core/variant.ts";
import { dispatch, partialSpecs, ranges, specs } from "../core/layout.ts";
import { groupSize, type Problem } from "../core/problem.ts";
import {
  lanesFor,
  refusesShuffledRows,
  ROW_SPLIT_RANGES,
  ROW_SPLIT_TUNABLES,
} from "../core/row_split.ts";
import { denseCost, splitsFor } from "./split.ts";
import { defineKernel, defineVariant } from "../core/define.ts";
import { listsPerKvHead } from "../merge/hand_over.ts";
import { mergeDispatch } from "../merge/merge.ts";
import source from "./split_scatter.wgsl" with { type: "text" };

/** `split_scatter.wgsl`. */
export const splitScatterKernel: Kernel = defineKernel({
  name: "dense/split_scatter",
  source,
  params: {
    ...ranges("HEAD_DIM", "GROUP", "KV_HEADS", "CAPACITY", "KV_DTYPE"),
    ...ROW_SPLIT_RANGES,
    WORKGROUP: [32, 64, 128, 192, 256, 384, 512],
    HEADS: { min: 1, max: 16 },
    PERMUTED: [0, 1],
    JOINED: { min: 1, max: 16 },
    SPLITS: { min: 1, max: 1024 },
  },
  features: ["subgroups"],
});

function plan(p: Problem, params: Params): Plan {
  const lists = p.kvHeads * listsPerKvHead(p, params.HEADS);
  return {
    buffers: {
      ...specs(p, "input", "lengths", "q", "keys", "values", "sink_logits"),
      ...partialSpecs(p, params.SPLITS, "scratch"),
      ...specs(p, "output", "out"),
    },
    dispatches: [
      dispatch(splitScatterKernel, p, params, [params.SPLITS, lists, p.batch]),
      mergeDispatch(p, params.SPLITS),
    ],
  };
}

/** Lanes that the heads of a list take: a power of two. */
function headLanes(heads: number): number {
  return 2 ** Math.ceil(Math.log2(heads));
}

function refuses(p: Problem, params: Params, limits: DeviceLimits): string | undefined {
  const { HEADS: heads, LANES: lanes } = params;
  if (heads > groupSize(p)) {
    return `${heads} query heads of a list exceed the group of ${groupSize(p)}`;
  }
  if (headLanes(heads) > lanes) return `${lanes} lanes are too few for ${heads} query heads`;
  return refusesShuffledRows(p, params, limits);
}

/** Dense decode for groups of more than four query heads, on devices with subgroups. */
export const denseSplitScatter: Variant = defineVariant({
  name: "dense/split_scatter",
  stage: "dense",
  description: "split-KV for large groups; shuffles scatter the dots, a head for each lane; merge",
  tunables: {
    ...ROW_SPLIT_TUNABLES,
    WORKGROUP: [64, 128, 192, 256],
    HEADS: [1, 2, 4, 5, 7, 8, 16],
    PERMUTED: [0, 1],
    JOINED: [2, 4, 8],
    SPLITS: [16, 33, 49, 66, 99],
  },
  features: ["subgroups"],
  defaults(p, limits) {
    const LANES = lanesFor(p, Math.min(16, limits.subgroupMinSize ?? 4));
    // More than eight query heads would take the registers of a second workgroup on an SM.
    const lists = Math.ceil(groupSize(p) / Math.min(8, LANES));
    const HEADS = Math.ceil(groupSize(p) / lists);
    const params = {
      HEADS,
      LANES,
      TOKENS: lists === 1 ? 2 : 4,
      PERMUTED: Number(headLanes(HEADS) === HEADS),
      SPLITS: splitsFor(p, p.kvHeads * lists, p.capacity, 264),
    };
    // Small subgroups have many row groups, whose sums need more workgroup memory.
    const threads = lists === 1 ? [192, 128, 64, 32] : [128, 64, 32];
    const settings = threads.flatMap((WORKGROUP) =>
      [16, 4, 1].map((JOINED) => ({ ...params, WORKGROUP, JOINED }))
    );
    return settings.find((setting) => !denseSplitScatter.refuses(p, setting, limits)) ??
      settings[settings.length - 1];
  },
  refuses,
  plan,
  cost: denseCost,
});
