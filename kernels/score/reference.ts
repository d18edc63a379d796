/** References for the score kernels: distances and histograms of the middle tokens. */
import type { RowOf } from "../attend/reference.ts";
import type { Bins } from "../core/problem/problem.ts";
import type { Windows } from "../core/problem/derived.ts";
import { binnedDistance, unpackScale, weightedDistance } from "./bins.ts";

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
  const queryWords = (1 + planes) * words;
  for (let query = 0; query < queryCodes.length; query += queryWords) {
    const queryCode = queryCodes.subarray(query, query + queryWords);
    for (let token = 0; token < distances.length; token++) {
      const code = codes.subarray(token * words, (token + 1) * words);
      distances[token] += weightedDistance(queryCode, code, planes);
    }
  }
  return distances;
}

/** Scores of tokens. */
export interface Scores {
  /** [tokens]. */
  readonly scores: Float64Array<ArrayBuffer>;
  /** [tokens], the sums of the magnitudes that a score adds up: its rounding error is in proportion. */
  readonly magnitudes: Float64Array<ArrayBuffer>;
  /** [tokens], errors that the score's definition allows beside that (default none). */
  readonly slack?: Float64Array<ArrayBuffer>;
}

/** The scores of the first `tokens` tokens for one query head: q.K without a scale. */
export function dotReference(q: ArrayLike<number>, rowOfK: RowOf, tokens: number): Scores {
  const scores = new Float64Array(tokens);
  const magnitudes = new Float64Array(tokens);
  for (let token = 0; token < tokens; token++) {
    const row = rowOfK(token);
    for (let d = 0; d < q.length; d++) {
      const product = q[d] * row[d];
      scores[token] += product;
      magnitudes[token] += Math.abs(product);
    }
  }
  return { scores, magnitudes };
}

/**
 * The scores of the first `pages` pages for one query head: no key of a page has a larger q.K.
 *
 * @param boundsOf The least and the largest element of each channel of a page, [2, D].
 */
export function pagesReference(q: ArrayLike<number>, boundsOf: RowOf, pages: number): Scores {
  const extremes = (page: number): number[] => {
    const bounds = boundsOf(page);
    return Array.from(q, (each, d) => bounds[each > 0 ? q.length + d : d]);
  };
  return dotReference(q, extremes, pages);
}

/**
 * The distance of every token by rotated codes: the bin of its score.
 *
 * @param queryCode [(1 + planes) words and a scale], the code of a query head.
 * @param codes [tokens, words].
 * @param factors [tokens], bytes of the keys' factors.
 */
export function binnedScoreReference(
  queryCode: Uint32Array,
  codes: Uint32Array,
  factors: Uint8Array,
  planes: number,
  bins: Bins,
): Uint32Array<ArrayBuffer> {
  const words = codes.length / factors.length;
  const scale = unpackScale(queryCode[queryCode.length - 1]);
  return Uint32Array.from(factors, (byte, token) => {
    const code = codes.subarray(token * words, (token + 1) * words);
    return binnedDistance(weightedDistance(queryCode, code, planes), byte, scale, bins);
  });
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

/** A row of floats as bytes: each float is about its byte times the scale. */
export interface ByteRow {
  readonly bytes: Int8Array<ArrayBuffer>;
  /** The power of two that brings the largest magnitude to 64 or more and below 128. */
  readonly scale: number;
}

/** The least exponent of a row's largest magnitude; smaller rows have the scale of this one. */
const LEAST_EXPONENT = -100;

/**
 * The row as bytes. A scale is a power of two, so that dividing by it is exact; a half is rounded to
 * the even byte, and what rounds to 128 becomes 127.
 *
 * @param row Finite f32.
 */
export function byteRowReference(row: ArrayLike<number>): ByteRow {
  const peak = Array.from(row).reduce((most, value) => Math.max(most, Math.abs(value)), 0);
  let exponent = LEAST_EXPONENT;
  while (peak >= 2 ** (exponent + 1)) exponent++;
  const scale = 2 ** (exponent - 6);
  return { bytes: Int8Array.from(row, (value) => clampByte(roundEven(value / scale))), scale };
}

function roundEven(value: number): number {
  const floor = Math.floor(value);
  const above = value - floor;
  if (above === 0.5) return floor + Math.abs(floor % 2);
  return above < 0.5 ? floor : floor + 1;
}

function clampByte(value: number): number {
  return Math.max(-127, Math.min(127, value));
}

/**
 * The scores of the first `tokens` tokens by an index, which all query heads share: of each key its
 * scale times the sum over index heads of weight, scale and max(0, dot of bytes).
 *
 * @param queries One row for each index head.
 * @param weights One for each index head.
 * @param codes [tokens, dim], bytes of the keys.
 * @param scales [tokens], of the keys.
 */
export function indexReference(
  queries: readonly ByteRow[],
  weights: ArrayLike<number>,
  codes: Int8Array,
  scales: ArrayLike<number>,
  tokens: number,
): Scores {
  const scores = new Float64Array(tokens);
  const magnitudes = new Float64Array(tokens);
  const dim = queries[0].bytes.length;
  for (let token = 0; token < tokens; token++) {
    queries.forEach(({ bytes, scale }, head) => {
      let dot = 0;
      for (let d = 0; d < dim; d++) dot += bytes[d] * codes[token * dim + d];
      const part = weights[head] * scale * scales[token] * Math.max(0, dot);
      scores[token] += part;
      magnitudes[token] += Math.abs(part);
    });
  }
  return { scores, magnitudes };
}
