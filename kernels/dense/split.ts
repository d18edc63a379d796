/** Dense split-KV decode (FlashDecoding) with a packed GQA group, then merge. */
import type { Cost, Kernel, Plan, Variant } from "../core/variant.ts";
import { CACHE_ROWS, MOST_GROUP, type Params, ranges } from "../core/problem/constants.ts";
import { dispatch } from "../core/dispatch.ts";
import { partialSpecs, specs } from "../core/layout.ts";
import { mergeDispatch } from "../merge/merge.ts";
import { cachedTokens, groupSize, kvBytes } from "../core/problem/derived.ts";
import type { Problem } from "../core/problem/problem.ts";
import {
  headsFor,
  lanesFor,
  LIST_HEADS,
  refusesHeads,
  refusesRowSplit,
  ROW_SPLIT_RANGES,
  ROW_SPLIT_TUNABLES,
  tokensFor,
} from "../core/row_split.ts";
import { defineKernel, defineVariant } from "../core/define.ts";
import source from "./split.wgsl" with { type: "text" };

/** `split.wgsl`. */
export const splitKernel: Kernel = defineKernel({
  name: "dense/split",
  source,
  params: {
    ...ranges("HEAD_DIM", "BATCH", "GROUP", "KV_HEADS", "CAPACITY", "PREFIX", "KV_DTYPE"),
    ...ranges(...CACHE_ROWS),
    MORE_SPLITS: { min: 0, max: 1024 },
    HEADS: { min: 1, max: MOST_GROUP },
    ...ROW_SPLIT_RANGES,
  },
});

/** Values of SPLITS, the workgroups per KV head, that a tuner tries. */
export const DENSE_SPLITS: readonly number[] = [8, 16, 32, 64, 66, 128];

/** Least traffic and arithmetic of dense decode: reads K, V and q once, writes o. */
export function denseCost(p: Problem): Cost {
  const rows = p.kvHeads * cachedTokens(p);
  const qBytes = p.batch * p.qHeads * p.headDim * 4;
  return {
    streamBytes: 2 * rows * p.headDim * kvBytes(p.dtype) + qBytes,
    gatherBytes: 0,
    writeBytes: qBytes,
    flops: 4 * rows * groupSize(p) * p.headDim,
  };
}

/** The plan of a split kernel and its merge. */
export function splitPlan(kernel: Kernel, p: Problem, params: Params): Plan {
  return {
    buffers: {
      ...specs(p, "input", "lengths", "q", "keys", "values", "sink_logits"),
      ...partialSpecs(p, params.SPLITS, "scratch"),
      ...specs(p, "output", "out"),
    },
    dispatches: [
      dispatch(kernel, p, { ...params, MORE_SPLITS: 0 }, [
        params.SPLITS,
        p.qHeads / params.HEADS,
        p.batch,
      ]),
      mergeDispatch(p, params.SPLITS),
    ],
  };
}

/** Splits for about `workgroups` workgroups, each with at least 32 of the `tokens` tokens. */
export function splitsFor(p: Problem, heads: number, tokens: number, workgroups: number): number {
  const wanted = Math.ceil(workgroups / (heads * p.batch));
  return Math.max(1, Math.min(wanted, Math.ceil(tokens / 32)));
}

/** Splits for at most `workgroups` workgroups, but one at least; else as {@linkcode splitsFor}. */
export function splitsWithin(
  p: Problem,
  heads: number,
  tokens: number,
  workgroups: number,
): number {
  const lists = heads * p.batch;
  return splitsFor(p, heads, tokens, Math.floor(workgroups / lists) * lists);
}

/** Portable dense decode. */
export const denseSplit: Variant = defineVariant({
  name: "dense/split",
  stage: "dense",
  description: "split-KV; reads K and V once per GQA group, sums dots in workgroup memory",
  tunables: { ...ROW_SPLIT_TUNABLES, HEADS: LIST_HEADS, SPLITS: DENSE_SPLITS },
  features: [],
  defaults(p) {
    const HEADS = headsFor(groupSize(p));
    return {
      WORKGROUP: 128,
      LANES: lanesFor(p, 16, HEADS),
      TOKENS: tokensFor(HEADS, 128),
      HEADS,
      SPLITS: splitsFor(p, p.qHeads / HEADS, p.capacity, 528),
    };
  },
  refuses: (p, params) => refusesHeads(groupSize(p), params) ?? refusesRowSplit(p, params),
  plan: (p, params) => splitPlan(splitKernel, p, params),
  cost: denseCost,
});
