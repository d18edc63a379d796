/** The order in which a method takes tokens. */

/**
 * The first `count` tokens of [start, end) by cost, and by token at equal cost; fewer if the range
 * is smaller.
 *
 * @param costs One finite number per token.
 */
export function cheapest(
  costs: ArrayLike<number>,
  start: number,
  end: number,
  count: number,
): Uint32Array<ArrayBuffer> {
  const take = Math.min(count, Math.max(0, end - start));
  const taken = new Uint32Array(take);
  if (take === 0) return taken;
  // Sorting plain numbers is many times as fast as sorting tokens, and it gives the threshold.
  const sorted = Float64Array.from({ length: end - start }, (_, i) => costs[start + i]).sort();
  const threshold = sorted[take - 1];
  let ties = 0;
  for (let i = take - 1; i >= 0 && sorted[i] === threshold; i--) ties++;
  let found = 0;
  for (let token = start; found < take; token++) {
    const isTaken = costs[token] < threshold || (costs[token] === threshold && ties-- > 0);
    if (isTaken) taken[found++] = token;
  }
  return taken.sort((a, b) => costs[a] - costs[b] || a - b);
}
