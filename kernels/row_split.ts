/**
 * What the split attention kernels (dense and gathered, portable and subgroup) have in common:
 * how a row of K or V is shared by lanes, what a workgroup needs, and which parameters are valid.
 */
import type { DeviceLimits, Params } from "./contender.ts";
import { kvBytes, type Problem } from "./problem.ts";
import { refusesWorkgroup } from "./refusals.ts";

/** Ranges of the parameters that all of them declare. */
export const ROW_SPLIT_RANGES = {
  WORKGROUP: [32, 64, 128, 256, 512],
  LANES: [2, 4, 8, 16, 32],
  TOKENS: [1, 2, 4, 8],
} as const;

/** Values worth trying: threads, threads per row, rows in flight per thread. */
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

/** Why a split attention kernel cannot run with these parameters; undefined if it can. */
export function refusesRowSplit(
  p: Problem,
  params: Params,
  limits: DeviceLimits,
  kind: { readonly queries: number; readonly subgroups: boolean },
): string | undefined {
  const { WORKGROUP: workgroup, LANES: lanes, TOKENS: tokens, SPLITS: splits } = params;
  if (rowLoads(p) % lanes !== 0) return `${lanes} lanes cannot share ${rowLoads(p)} loads of a row`;
  if (workgroup % lanes !== 0) return `${workgroup} threads are no whole number of ${lanes} lanes`;
  if (splits > limits.maxComputeWorkgroupsPerDimension) {
    return `${splits} splits exceed this device's ${limits.maxComputeWorkgroupsPerDimension} workgroups`;
  }
  if (kind.subgroups && lanes > (limits.subgroupMinSize ?? 0)) {
    return `${lanes} lanes may exceed a subgroup (${limits.subgroupMinSize ?? "unknown size"})`;
  }
  const rows = workgroup / lanes;
  const bytes = kind.subgroups
    ? 4 * rows * p.headDim + 8 * rows * kind.queries
    : 4 * Math.max(tokens * kind.queries * workgroup, rows * p.headDim) +
      4 * rows * tokens * kind.queries + 8 * rows * kind.queries;
  return refusesWorkgroup(workgroup, bytes, limits);
}

/** Rows in flight per thread such that a tile's partial sums fit 8 KiB of workgroup memory. */
export function tokensFor(queries: number, workgroup: number): number {
  return [4, 2].find((tokens) => tokens * queries * workgroup * 4 <= 8192) ?? 1;
}
