/**
 * Portions of unequal sequences. The kernels of a ragged batch give each sequence as many
 * workgroups as its length asks for; `shared/find_portion.wgsl` is the arithmetic on the GPU.
 */
import type { Problem } from "./problem.ts";

/**
 * The shares for which the portions of a head are no more than a wave of workgroups: every sequence
 * may round its last one up. Of very many sequences half a wave takes the longer ones.
 */
export function sharesFor({ batch }: Pick<Problem, "batch">, wave: number): number {
  return Math.max(Math.ceil(wave / 2), wave - batch + 1);
}

/**
 * The most portions of a head: those of `shares` shares, or of full caches, which have `fullest`
 * portions each.
 */
export function mostPortions(
  { batch }: Pick<Problem, "batch">,
  shares: number,
  fullest: number,
): number {
  return Math.max(shares + batch - 1, batch * fullest);
}
