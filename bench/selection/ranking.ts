/** The order in which a method takes tokens. */
import type { TieRule } from "../../kernels/core/problem/problem.ts";

/**
 * The first `count` tokens of [start, end) by cost, and by token at equal cost; fewer if the range
 * is smaller.
 *
 * @param costs One finite number per token.
 * @param ties Whether the lower or the higher token comes first at equal cost.
 */
export function cheapest(
  costs: ArrayLike<number>,
  start: number,
  end: number,
  count: number,
  ties: TieRule = "lower",
): Uint32Array<ArrayBuffer> {
  const take = Math.min(count, Math.max(0, end - start));
  const taken = new Uint32Array(take);
  if (take === 0) return taken;
  // Sorting plain numbers is many times as fast as sorting tokens, and it gives the threshold.
  const sorted = Float64Array.from({ length: end - start }, (_, i) => costs[start + i]).sort();
  const threshold = sorted[take - 1];
  let tied = 0;
  for (let i = take - 1; i >= 0 && sorted[i] === threshold; i--) tied++;
  const step = ties === "lower" ? 1 : -1;
  let found = 0;
  for (let token = ties === "lower" ? start : end - 1; found < take; token += step) {
    const isTaken = costs[token] < threshold || (costs[token] === threshold && tied-- > 0);
    if (isTaken) taken[found++] = token;
  }
  return taken.sort((a, b) => costs[a] - costs[b] || step * (a - b));
}
