/**
 * References for the probes, to check that they do the work that is timed. A thread of a reading
 * probe writes only if its sum is {@linkcode PROBE_MAGIC}. A word planted for one load of one
 * thread must therefore make this thread write, and no other.
 */

import { popcount } from "../core/bits.ts";

/** The sum at which a reading probe writes. */
export const PROBE_MAGIC = 0x9e3779b9;

/** The hash of `fill.wgsl` and `gather.wgsl`. */
export function hash(x: number): number {
  let h = Math.imul(x ^ (x >>> 16), 0x7feb352d);
  h = Math.imul(h ^ (h >>> 15), 0x846ca68b);
  return (h ^ (h >>> 16)) >>> 0;
}

/** Multiplicative inverse of 31 modulo 2^32. */
const INVERSE_31 = 3186588639;

/** The word for load `index` of `loads` that makes the sum the magic, if all others are zero. */
export function plantedWord(index: number, loads: number): number {
  let word = PROBE_MAGIC;
  for (let i = index + 1; i < loads; i++) word = Math.imul(word, INVERSE_31);
  return word >>> 0;
}

/** The result of thread `id` of `popcount.wgsl`. */
export function popcountReference(id: number, rounds: number, unrolled: number): number {
  const words = [1, 3, 5, 7].map((factor) => Math.imul(id, factor) >>> 0);
  for (let round = 0; round < rounds; round++) {
    for (let i = 0; i < unrolled; i++) {
      const mask = Math.imul(PROBE_MAGIC, i + 1) >>> 0;
      for (let lane = 0; lane < 4; lane++) {
        words[lane] = (words[lane] + popcount((words[lane] ^ mask) >>> 0)) >>> 0;
      }
    }
  }
  return (words[0] ^ words[1] ^ words[2] ^ words[3]) >>> 0;
}

/** The result of thread `id` of `fma.wgsl`, which must be even: its factor is 1. */
export function fmaReference(id: number, steps: number, chains: number): number {
  let sum = 0;
  for (let chain = 0; chain < chains; chain++) {
    for (const lane of [1, 2, 3, 4]) sum += chain + steps * (lane + Math.floor(id / 4096) % 4);
  }
  return sum;
}

/** The result of workgroup `id` of `matrix.wgsl`. */
export function matrixReference(id: number, steps: number, chains: number): number {
  const element = 16 * steps * (1 + Math.floor(id / 32) % 4);
  return element * chains * (chains + 1) / 2;
}
