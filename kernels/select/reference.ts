/** Reference for the select kernels. */
import type { Windows } from "../core/problem.ts";

/**
 * The tokens to attend, ascending: the sink, the `kEff` middle tokens with the smallest
 * (distance, index), and the recent window.
 *
 * @param distances One per token of the sequence; those in the windows are ignored.
 */
export function selectReference(
  distances: ArrayLike<number>,
  windows: Windows,
): Uint32Array<ArrayBuffer> {
  const { sinkEnd, recentStart, kEff } = windows;
  const middle = Uint32Array.from({ length: recentStart - sinkEnd }, (_, i) => sinkEnd + i);
  middle.sort((a, b) => distances[a] - distances[b] || a - b);
  const tokens = new Uint32Array(windows.attended);
  for (let token = 0; token < sinkEnd; token++) tokens[token] = token;
  tokens.set(middle.subarray(0, kEff).sort(), sinkEnd);
  for (let i = sinkEnd + kEff; i < tokens.length; i++) {
    tokens[i] = recentStart + i - sinkEnd - kEff;
  }
  return tokens;
}
