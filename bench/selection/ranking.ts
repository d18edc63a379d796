/** The order in which a method takes tokens. Pure. */

/**
 * The first `count` tokens of [start, end) by (cost, token): at equal cost the lower token wins.
 * Fewer where the range is smaller.
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
  // Sorting plain numbers is many times as fast as sorting tokens, and gives the cost to cut at.
  const sorted = Float64Array.from({ length: end - start }, (_, i) => costs[start + i]).sort();
  const cut = sorted[take - 1];
  let ties = 0;
  for (let i = take - 1; i >= 0 && sorted[i] === cut; i--) ties++;
  let at = 0;
  for (let token = start; at < take; token++) {
    if (costs[token] < cut || (costs[token] === cut && ties-- > 0)) taken[at++] = token;
  }
  return taken.sort((a, b) => costs[a] - costs[b] || a - b);
}
