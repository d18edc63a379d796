/** Reference for the select kernels. */
import type { TieRule, Windows } from "../core/problem.ts";

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
  const { sinkEnd, recentStart, kEff } = windows;
  const middle = Uint32Array.from({ length: recentStart - sinkEnd }, (_, i) => sinkEnd + i);
  const first = ties === "lower" ? 1 : -1;
  middle.sort((a, b) => distances[a] - distances[b] || first * (a - b));
  const tokens = new Uint32Array(windows.attended);
  for (let token = 0; token < sinkEnd; token++) tokens[token] = token;
  tokens.set(middle.subarray(0, kEff).sort(), sinkEnd);
  for (let i = sinkEnd + kEff; i < tokens.length; i++) {
    tokens[i] = recentStart + i - sinkEnd - kEff;
  }
  return tokens;
}
