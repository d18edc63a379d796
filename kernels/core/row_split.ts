/**
 * Shared by the split attention kernels (dense and gathered, portable and subgroup): how lanes
 * share a row of K or V, how much memory a workgroup needs, and which parameters are valid.
 */
import type { DeviceLimits, Params } from "./variant.ts";
import { kvBytes, type Problem } from "./problem.ts";

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

/** The largest power of two up to `most` lanes that shares a row evenly. */
export function lanesFor(p: Problem, most: number): number {
  return [32, 16, 8, 4, 2].find((lanes) => lanes <= most && rowLoads(p) % lanes === 0) ?? 2;
}

/** The reason that lanes cannot share a row with these parameters; undefined if they can. */
export function refusesRowSplit(p: Problem, params: Params): string | undefined {
  const { WORKGROUP: workgroup, LANES: lanes } = params;
  if (rowLoads(p) % lanes !== 0) return `${lanes} lanes cannot share ${rowLoads(p)} loads of a row`;
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
