/** What the select kernels must take. */
import type { Windows } from "../core/problem.ts";

/**
 * The tokens to attend, ascending: the sink, the `kEff` middle tokens of smallest
 * (distance, index), the recent window.
 *
 * @param distances One per token of the sequence; those in the windows do not matter.
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
  for (let at = sinkEnd + kEff; at < tokens.length; at++) {
    tokens[at] = recentStart + at - sinkEnd - kEff;
  }
  return tokens;
}
