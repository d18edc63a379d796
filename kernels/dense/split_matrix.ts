/** Dense split-KV decode on matrix units, which only Dawn offers so far, then merge. */
import type { Kernel, Plan, Variant } from "../core/variant.ts";
import { CACHE_ROWS, type Params, ranges } from "../core/problem/constants.ts";
import { dispatch } from "../core/dispatch.ts";
import { partialSpecs, specs } from "../core/layout.ts";
import { groupSize } from "../core/problem/derived.ts";
import type { Problem } from "../core/problem/problem.ts";
import { defineKernel, defineVariant } from "../core/define.ts";
import { MATRIX_FEATURES, refusesMatrices } from "../core/subgroup_matrices.ts";
import { mergeKernel } from "../merge/merge.ts";
import { denseCost, splitsFor } from "./split.ts";
import source from "./split_matrix.wgsl" with { type: "text" };

const WORKGROUPS: readonly number[] = [64, 128, 256];
const TILES: readonly number[] = [32, 64];
const FLUSHES: readonly number[] = [4, 8, 16];

/** Query heads per KV head from which on matrices pay. */
const LEAST_GROUP = 4;

/** The rows of two sets of matrices. */
const MOST_GROUP = 16;

/** `split_matrix.wgsl`. */
export const splitMatrixKernel: Kernel = defineKernel({
  name: "dense/split_matrix",
  source,
  params: {
    ...ranges("HEAD_DIM", "BATCH", "GROUP", "KV_HEADS", "CAPACITY"),
    ...ranges(...CACHE_ROWS),
    WORKGROUP: WORKGROUPS,
    TILE: TILES,
    FLUSH: FLUSHES,
    SPLITS: { min: 1, max: 1024 },
  },
  features: MATRIX_FEATURES,
});

function refuses(p: Problem, { WORKGROUP, TILE }: Params): string | undefined {
  const group = groupSize(p);
  if (p.dtype !== "f16") return `it takes keys and values in f16, and these are ${p.dtype}`;
  if (group < LEAST_GROUP || group > MOST_GROUP) {
    return `it serves groups of ${LEAST_GROUP} to ${MOST_GROUP} query heads, and these have ${group}`;
  }
  // Threads and subgroups share such rows without a rest.
  if (![64, 128, 256].includes(p.headDim)) {
    return `it takes rows of 64, 128 and 256, and these have ${p.headDim}`;
  }
  const subgroups = WORKGROUP / 32;
  if (p.headDim < 16 * subgroups) {
    return `${subgroups} subgroups cannot share ${p.headDim} dimensions by sixteens`;
  }
  if (group > 8 && WORKGROUP < 128) {
    return `${WORKGROUP} threads are too few for the softmax of ${group} query heads`;
  }
  if (p.headDim > 128 && TILE * p.headDim / WORKGROUP > 64) {
    return `the tile of ${TILE} rows of ${p.headDim} would take all registers of ${WORKGROUP} threads`;
  }
}

function plan(p: Problem, { SLICES, ...params }: Params): Plan {
  const { SPLITS } = params;
  return {
    buffers: {
      ...specs(p, "input", "lengths", "q", "keys", "values", "sink_logits"),
      ...partialSpecs(p, SPLITS, "scratch"),
      ...specs(p, "output", "out"),
    },
    dispatches: [
      dispatch(splitMatrixKernel, p, params, [SPLITS, p.kvHeads, p.batch]),
      dispatch(mergeKernel, p, { SPLITS, SLICES }, [p.qHeads, p.batch, 1]),
    ],
  };
}

/**
 * Dense decode with queries, keys, values and weights in matrices of f16, sums in f32. It divides
 * queries and weights into two halves of f16, so that its results are as exact as those in f32.
 */
export const denseSplitMatrix: Variant = defineVariant({
  name: "dense/split_matrix",
  stage: "dense",
  description: "split-KV on matrix units: f32 factors as two of f16, for groups of 4 and more",
  tunables: {
    WORKGROUP: WORKGROUPS,
    TILE: TILES,
    FLUSH: FLUSHES,
    SPLITS: [16, 33, 66, 132],
    SLICES: [4, 8, 16],
  },
  features: MATRIX_FEATURES,
  defaults: (p) => ({
    TILE: 32,
    FLUSH: 16,
    SPLITS: splitsFor(p, p.kvHeads, p.capacity, 264),
    WORKGROUP: 128,
    SLICES: p.headDim > 128 ? 8 : 16,
  }),
  refuses: (p, params, limits) => refusesMatrices(limits) ?? refuses(p, params),
  plan,
  cost: denseCost,
});
