/** References for the score kernels: distances and histograms of the middle tokens. */
import { popcount } from "../core/bits.ts";
import type { Windows } from "../core/problem.ts";

/**
 * The distance of every token: the weights of the differing bits, summed over the query heads that
 * share the list.
 *
 * @param queryCodes [queries, 1 + planes, words], the codes of the list's query heads.
 * @param codes [tokens, words].
 * @param words u32 words of a code.
 * @param planes Magnitude planes of a query code; without planes every bit weighs 1.
 */
export function scoreReference(
  queryCodes: Uint32Array,
  codes: Uint32Array,
  words: number,
  planes = 0,
): Uint32Array<ArrayBuffer> {
  const distances = new Uint32Array(codes.length / words);
  for (let query = 0; query < queryCodes.length; query += (1 + planes) * words) {
    for (let token = 0; token < distances.length; token++) {
      distances[token] += distanceOf(token, query);
    }
  }
  return distances;

  function distanceOf(token: number, query: number): number {
    let distance = 0;
    for (let word = 0; word < words; word++) {
      const differing = queryCodes[query + word] ^ codes[token * words + word];
      if (planes === 0) distance += popcount(differing);
      for (let plane = 0; plane < planes; plane++) {
        const weighed = differing & queryCodes[query + (1 + plane) * words + word];
        distance += popcount(weighed) * 2 ** plane;
      }
    }
    return distance;
  }
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
