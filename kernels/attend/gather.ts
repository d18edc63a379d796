/** Gathered decode attention over a selection (HashAttention section 3), in splits of the list. */
import type { Cost, Kernel, Params, Plan, Variant } from "../core/variant.ts";
import { dispatch, MOST_GROUP, partialSpecs, ranges, specs } from "../core/layout.ts";
import { splitsFor } from "../dense/split.ts";
import {
  kvBytes,
  listCapacity,
  overSequences,
  type Problem,
  queriesPerRow,
  windowsOf,
} from "../core/problem.ts";
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
import source from "./gather.wgsl" with { type: "text" };

/** `gather.wgsl`. */
export const gatherKernel: Kernel = defineKernel({
  name: "attend/gather",
  source,
  params: {
    ...ranges("HEAD_DIM", "GROUP", "QUERIES_PER_LIST", "SEQUENCE_LISTS", "LIST_CAPACITY"),
    ...ranges("CAPACITY", "KV_DTYPE"),
    HEADS: { min: 1, max: MOST_GROUP },
    ...ROW_SPLIT_RANGES,
  },
});

/** Values of SPLITS, the workgroups per list, that a tuner tries. */
export const GATHER_SPLITS: readonly number[] = [4, 8, 16, 32];

/** Least traffic and arithmetic: reads each selected row of K and V, its index and q, writes o. */
export function gatherCost(p: Problem): Cost {
  const rows = p.qHeads / queriesPerRow(p) *
    overSequences(p, (length) => windowsOf(p, length).attended);
  const qBytes = p.batch * p.qHeads * p.headDim * 4;
  return {
    streamBytes: 4 * rows + qBytes,
    gatherBytes: 2 * rows * p.headDim * kvBytes(p.dtype),
    writeBytes: qBytes,
    flops: 4 * rows * queriesPerRow(p) * p.headDim,
  };
}

/** The plan of a gather kernel; the partials are its output. */
export function gatherPlan(kernel: Kernel, p: Problem, params: Params): Plan {
  return {
    buffers: {
      ...specs(p, "input", "q", "keys", "values", "selected", "selected_counts"),
      ...partialSpecs(p, params.SPLITS, "output"),
    },
    dispatches: [dispatch(kernel, p, params, [params.SPLITS, p.qHeads / params.HEADS, p.batch])],
  };
}

/** Portable gathered attention. */
export const gather: Variant = defineVariant({
  name: "attend/gather",
  stage: "attend",
  description: "gathers selected rows in splits of the list, sums dots in workgroup memory",
  tunables: { ...ROW_SPLIT_TUNABLES, HEADS: LIST_HEADS, SPLITS: GATHER_SPLITS },
  features: [],
  defaults(p) {
    const HEADS = headsFor(queriesPerRow(p));
    return {
      WORKGROUP: 128,
      LANES: lanesFor(p, 16, HEADS),
      TOKENS: tokensFor(HEADS, 128),
      HEADS,
      SPLITS: splitsFor(p, p.qHeads / HEADS, listCapacity(p), 512),
    };
  },
  refuses: (p, params) => refusesHeads(queriesPerRow(p), params) ?? refusesRowSplit(p, params),
  plan: (p, params) => gatherPlan(gatherKernel, p, params),
  cost: gatherCost,
});
