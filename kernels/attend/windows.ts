/** Attention over the windows alone, whose tokens need no selection (StreamingLLM). */
import type { Cost, Kernel, Variant } from "../core/variant.ts";
import { defineKernel, defineVariant } from "../core/define.ts";
import { dispatch } from "../core/dispatch.ts";
import { MOST_GROUP, ranges } from "../core/problem/constants.ts";
import { partialSpecs, specs } from "../core/layout.ts";
import { DENSE_SPLITS, splitsFor } from "../dense/split.ts";
import { groupSize, kvBytes, overSequences, windowsOf } from "../core/problem/derived.ts";
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
import source from "./windows.wgsl" with { type: "text" };

/** `windows.wgsl`. */
export const windowsKernel: Kernel = defineKernel({
  name: "attend/windows",
  source,
  params: {
    ...ranges("HEAD_DIM", "GROUP", "KV_HEADS", "CAPACITY", "SINK", "RECENT", "KV_DTYPE"),
    HEADS: { min: 1, max: MOST_GROUP },
    ...ROW_SPLIT_RANGES,
  },
});

/** Least traffic and arithmetic: reads K and V of the windows once for each KV head, writes o. */
function windowsCost(p: Problem): Cost {
  const rows = p.kvHeads * overSequences(p, (length) => {
    const { attended, kEff } = windowsOf(p, length);
    return attended - kEff;
  });
  const qBytes = p.batch * p.qHeads * p.headDim * 4;
  return {
    streamBytes: 2 * rows * p.headDim * kvBytes(p.dtype) + qBytes,
    gatherBytes: 0,
    writeBytes: qBytes,
    flops: 4 * rows * groupSize(p) * p.headDim,
  };
}

/** Attention over the windows; only the step of a system runs it. */
export const windows: Variant = defineVariant({
  name: "attend/windows",
  stage: "attend",
  description: "attends the first and the last tokens alone, in splits",
  tunables: { ...ROW_SPLIT_TUNABLES, HEADS: LIST_HEADS, SPLITS: DENSE_SPLITS },
  features: [],
  defaults(p) {
    const HEADS = headsFor(groupSize(p), 2);
    return {
      WORKGROUP: 128,
      LANES: lanesFor(p, 16, HEADS),
      TOKENS: tokensFor(HEADS, 128),
      HEADS,
      SPLITS: splitsFor(p, p.qHeads / HEADS, Math.min(p.capacity, p.sink + p.recent), 528),
    };
  },
  refuses: (p, params) => refusesHeads(groupSize(p), params) ?? refusesRowSplit(p, params),
  plan: (p, params) => ({
    buffers: {
      ...specs(p, "input", "lengths", "q", "keys", "values"),
      ...partialSpecs(p, params.SPLITS, "output"),
    },
    dispatches: [
      dispatch(windowsKernel, p, params, [params.SPLITS, p.qHeads / params.HEADS, p.batch]),
    ],
  }),
  cost: windowsCost,
});
