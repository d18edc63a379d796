/** Reference for the select kernels. */
import type { TieRule } from "../core/problem/problem.ts";
import type { Windows } from "../core/problem/derived.ts";

/**
 * The tokens to attend, ascending: the sink, the `kEff` middle tokens with the smallest
 * (distance, index), and the recent window.
 *
 * @param distances One per token of the sequence; those in the windows are ignored.
 * @param ties Which of the tokens at the largest distance taken have precedence.
 */
export function selectReference(
  distances: ArrayLike<number>,
  windows: Windows,
  ties: TieRule = "lower",
): Uint32Array<ArrayBuffer> {
  return bestTokens((a, b) => distances[a] - distances[b], windows, ties);
}

/**
 * The same for scores, of which the largest win. -0 equals +0, and NaN is below -Infinity.
 *
 * @param scores One per token of the sequence; those in the windows are ignored.
 * @param ties Which of the tokens at the smallest score taken have precedence.
 */
export function selectScoresReference(
  scores: ArrayLike<number>,
  windows: Windows,
  ties: TieRule = "lower",
): Uint32Array<ArrayBuffer> {
  const compare = (a: number, b: number) => {
    if (scores[a] > scores[b]) return -1;
    if (scores[a] < scores[b]) return 1;
    return Number(Number.isNaN(scores[a])) - Number(Number.isNaN(scores[b]));
  };
  return bestTokens(compare, windows, ties);
}

/** The list of the middle tokens that `compare` puts first, with the windows. */
function bestTokens(
  compare: (a: number, b: number) => number,
  { sinkEnd, recentStart, kEff, attended }: Windows,
  ties: TieRule,
): Uint32Array<ArrayBuffer> {
  const middle = Uint32Array.from({ length: recentStart - sinkEnd }, (_, i) => sinkEnd + i);
  const first = ties === "lower" ? 1 : -1;
  middle.sort((a, b) => compare(a, b) || first * (a - b));
  const tokens = new Uint32Array(attended);
  for (let token = 0; token < sinkEnd; token++) tokens[token] = token;
  tokens.set(middle.subarray(0, kEff).sort(), sinkEnd);
  for (let i = sinkEnd + kEff; i < tokens.length; i++) {
    tokens[i] = recentStart + i - sinkEnd - kEff;
  }
  return tokens;
}
