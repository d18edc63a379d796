/** Puts what is alike side by side: gzip finds repeated text only in the last 32 KB. */

/** Characters behind which text counts as near. The rest of the 32 KB is for shared texts. */
const NEAR = 28_000;

/**
 * The items in an order in which each has as many lines as possible in common with those shortly
 * before it. The first is the shortest.
 */
export function inOrderOfLikeness<Item>(
  items: readonly Item[],
  linesOf: (item: Item) => readonly string[],
): readonly Item[] {
  const lines = new Map(items.map((item) => [item, new Set(linesOf(item))]));
  const sizeOf = (item: Item) => linesOf(item).join("\n").length;
  const waiting = new Set(items.toSorted((a, b) => sizeOf(a) - sizeOf(b)));
  const order: Item[] = [];
  while (waiting.size > 0) {
    const near = new Set<string>();
    let size = 0;
    for (let i = order.length - 1; i >= 0 && size < NEAR; i--) {
      for (const line of lines.get(order[i])!) near.add(line);
      size += sizeOf(order[i]);
    }
    const next = mostLike(near, waiting, lines);
    order.push(next);
    waiting.delete(next);
  }
  return order;
}

/** The first of the items with the most lines in `near`; of a long one, more must be there. */
function mostLike<Item>(
  near: ReadonlySet<string>,
  items: Iterable<Item>,
  lines: ReadonlyMap<Item, ReadonlySet<string>>,
): Item {
  let best: { readonly item: Item; readonly likeness: number } | undefined;
  for (const item of items) {
    const own = lines.get(item)!;
    const likeness = own.intersection(near).size / Math.sqrt(own.size + 1);
    if (!best || likeness > best.likeness) best = { item, likeness };
  }
  return best!.item;
}
