/**
 * Shared by the split attention kernels (dense and gathered, portable and subgroup): how lanes
 * share a row of K or V, how much memory a workgroup needs, and which parameters are valid.
 */
import type { DeviceLimits } from "./variant.ts";
import type { Params } from "./problem/constants.ts";
import { kvBytes } from "./problem/derived.ts";
import type { Problem } from "./problem/problem.ts";

/** Ranges of the parameters that all of these kernels declare. */
export const ROW_SPLIT_RANGES = {
  WORKGROUP: [32, 64, 128, 256, 512],
  LANES: [2, 4, 8, 16, 32],
  TOKENS: [1, 2, 4, 8],
} as const;

/** Values that a tuner tries: threads, threads per row, rows in flight per thread. */
export const ROW_SPLIT_TUNABLES = {
  WORKGROUP: [64, 128, 256],
  LANES: [4, 8, 16, 32],
  TOKENS: [1, 2, 4, 8],
} as const;

/** 16-byte loads in a row of K or V. */
export function rowLoads(p: Problem): number {
  return (p.headDim * kvBytes(p.dtype)) / 16;
}

/** Values of HEADS, the query heads of a workgroup, that a tuner tries. */
export const LIST_HEADS: readonly number[] = [1, 2, 3, 4, 5, 7, 8];

/** The most of `queries` heads, up to `most`, that share them evenly among workgroups. */
export function headsFor(queries: number, most = 8): number {
  for (let heads = Math.min(most, queries); heads > 1; heads--) {
    if (queries % heads === 0) return heads;
  }
  return 1;
}

/** The reason that workgroups cannot share `queries` heads evenly; undefined if they can. */
export function refusesHeads(queries: number, { HEADS: heads }: Params): string | undefined {
  if (queries % heads !== 0) return `workgroups of ${heads} query heads cannot share ${queries}`;
}

/** Most vec4f of queries in a thread. It holds as many sums, and registers are few. */
const MOST_QUERY_QUADS = 16;

/** Most loads of a row in a lane, where more lanes can share it. */
const MOST_CHUNKS = 3;

/**
 * Lanes that share a row, at most `most`: as many as divide it, unless each would hold too much of
 * it for `heads` query heads. Then there are more, some of which repeat the end of the row.
 */
export function lanesFor(p: Problem, most: number, heads = 1): number {
  const loads = rowLoads(p);
  const possible = [32, 16, 8, 4, 2].filter((lanes) => lanes <= most && lanes < 2 * loads);
  const even = possible.find((lanes) => loads % lanes === 0);
  const quads = heads * 4 / kvBytes(p.dtype);
  const suits = even !== undefined && loads / even <= MOST_CHUNKS &&
    loads / even * quads <= MOST_QUERY_QUADS;
  return (suits ? even : possible[0]) ?? 2;
}

/** The reason that lanes cannot share a row with these parameters; undefined if they can. */
export function refusesRowSplit(p: Problem, params: Params): string | undefined {
  const { WORKGROUP: workgroup, LANES: lanes } = params;
  if (lanes >= 2 * rowLoads(p)) {
    return `${lanes} lanes are too many for the ${rowLoads(p)} loads of a row`;
  }
  if (workgroup % lanes !== 0) return `${workgroup} threads are not a multiple of ${lanes} lanes`;
}

/** The same for kernels that sum the dot products of a row by subgroup shuffles. */
export function refusesShuffledRows(
  p: Problem,
  params: Params,
  limits: DeviceLimits,
): string | undefined {
  if (params.LANES > (limits.subgroupMinSize ?? 0)) {
    return `${params.LANES} lanes may exceed a subgroup (${
      limits.subgroupMinSize ?? "unknown size"
    })`;
  }
  return refusesRowSplit(p, params);
}

/** Rows in flight per thread, so that a tile's partial sums fit 8 KiB of workgroup memory. */
export function tokensFor(queries: number, workgroup: number): number {
  return [4, 2].find((tokens) => tokens * queries * workgroup * 4 <= 8192) ?? 1;
}
