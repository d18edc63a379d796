/**
 * Bins of rotated codes' scores. The score of a token is its factor times the dot product of the
 * query's magnitudes with the signs of the code. All arithmetic is in whole numbers, so that every
 * device puts a token into the same bin as the reference.
 */
import { popcount } from "../core/bits.ts";
import type { Bins } from "../core/problem/problem.ts";
import { factorValue } from "../encode/rotation.ts";

/** How a query's scores become bins, as one word of its code. */
export interface BinScale {
  /** Scores are divided by 2^shift first, and bounded by 65,535. */
  readonly shift: number;
  /** Then multiplied by this and divided by 2^16. 1 to 65,535. */
  readonly multiplier: number;
  /** Sum of the query's magnitudes: the largest dot product. */
  readonly total: number;
}

/** The scale out of its word: bits 0 to 15 multiplier, 16 to 20 shift, 21 to 31 total. */
export function unpackScale(word: number): BinScale {
  return { shift: (word >>> 16) & 31, multiplier: word & 0xffff, total: word >>> 21 };
}

/** The word of a scale. */
export function packScale({ shift, multiplier, total }: BinScale): number {
  return ((total << 21) | (shift << 16) | multiplier) >>> 0;
}

/**
 * The scale of a query.
 *
 * @param magnitudes One whole number per bit; all 1 without planes.
 * @param rmsFactor Root mean square of the values of the cached keys' factors.
 */
export function scaleOf(magnitudes: ArrayLike<number>, rmsFactor: number, bins: Bins): BinScale {
  let total = 0;
  let squares = 0;
  for (let j = 0; j < magnitudes.length; j++) {
    total += magnitudes[j];
    squares += magnitudes[j] ** 2;
  }
  const reach = Math.max(1, bins.range * rmsFactor * Math.sqrt(squares));
  const shift = Math.max(0, Math.floor(Math.log2(reach)) - 14);
  const multiplier = Math.floor(65536 * bins.count * 2 ** shift / reach + 0.5);
  return { shift, multiplier: Math.min(65535, multiplier), total };
}

/**
 * The distance of a token: its bin, counted from the best one.
 *
 * @param weighted The weights of the bits in which the token's code differs from the query's signs.
 * @param byte The byte of the token's factor.
 */
export function binnedDistance(
  weighted: number,
  byte: number,
  { shift, multiplier, total }: BinScale,
  bins: Bins,
): number {
  const score = Math.max(0, total - 2 * weighted) * factorValue(byte);
  const bounded = Math.min(65535, Math.floor(score / 2 ** shift));
  return bins.count - 1 - Math.min(bins.count - 1, Math.floor(bounded * multiplier / 65536));
}

/** The weights of the bits in which a code differs from a query's signs, added up. */
export function weightedDistance(
  queryCode: Uint32Array,
  code: Uint32Array,
  planes: number,
): number {
  let weighted = 0;
  for (let word = 0; word < code.length; word++) {
    const differing = queryCode[word] ^ code[word];
    if (planes === 0) weighted += popcount(differing);
    for (let plane = 0; plane < planes; plane++) {
      const mask = queryCode[(1 + plane) * code.length + word];
      weighted += popcount(differing & mask) * 2 ** plane;
    }
  }
  return weighted;
}
