/** References for the score kernels: Hamming distances and histograms of the middle tokens. */
import { popcount } from "../core/bits.ts";
import type { Windows } from "../core/problem.ts";

/**
 * The distance of every token: differing bits, summed over the query heads that share the list.
 *
 * @param queryCodes [queries, words], the codes of the list's query heads.
 * @param codes [tokens, words].
 * @param words u32 words of a code.
 */
export function scoreReference(
  queryCodes: Uint32Array,
  codes: Uint32Array,
  words: number,
): Uint32Array<ArrayBuffer> {
  const distances = new Uint32Array(codes.length / words);
  for (let token = 0; token < distances.length; token++) {
    for (let i = 0; i < queryCodes.length; i++) {
      distances[token] += popcount(queryCodes[i] ^ codes[token * words + i % words]);
    }
  }
  return distances;
}

/**
 * How often each distance occurs among the middle tokens of each block, [blocks, bins].
 *
 * @param blockTokens Tokens of a block; the last may hold fewer.
 * @param bins Number of possible distances: the largest distance plus one.
 */
export function histogramReference(
  distances: ArrayLike<number>,
  blockTokens: number,
  windows: Windows,
  bins: number,
): Uint32Array<ArrayBuffer> {
  const counts = new Uint32Array(Math.ceil(distances.length / blockTokens) * bins);
  for (let token = windows.sinkEnd; token < windows.recentStart; token++) {
    counts[Math.floor(token / blockTokens) * bins + distances[token]]++;
  }
  return counts;
}
