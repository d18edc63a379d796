/** Test support: few rows that have every pair of values of any two factors, and parts of them. */

/**
 * Rows of value indices in which every pair of values of two factors shares a row. The search is
 * greedy: each row starts from a missing pair and takes the values that add the most pairs.
 *
 * @param sizes Number of values of each factor.
 * @param starts Allowed combinations of the first factors; by default all.
 */
export function pairwise(
  sizes: readonly number[],
  starts: readonly (readonly number[])[] = [[]],
): number[][] {
  const missing = new Set<number>();
  const key = (f: number, a: number, g: number, b: number) =>
    f < g ? ((f * 32 + a) * 32 + g) * 32 + b : ((g * 32 + b) * 32 + f) * 32 + a;
  sizes.forEach((size, f) => {
    for (let g = 0; g < f; g++) {
      for (let a = 0; a < size; a++) {
        for (let b = 0; b < sizes[g]; b++) missing.add(key(f, a, g, b));
      }
    }
  });
  const pairsOf = (row: readonly number[]) =>
    row.flatMap((a, f) => row.slice(0, f).map((b, g) => key(f, a, g, b)));
  const gainOf = (row: readonly number[]) => pairsOf(row).filter((k) => missing.has(k)).length;
  const rows: number[][] = [];

  /** The best row that has the given values and one of the starts. */
  function complete(fixed: ReadonlyMap<number, number>): number[] | undefined {
    const fitting = starts.filter((start) =>
      start.every((value, f) => (fixed.get(f) ?? value) === value)
    );
    const complete = fitting.map((start) => {
      const known = new Map([...start.entries(), ...fixed]);
      sizes.forEach((size, f) => {
        if (known.has(f)) return;
        const gain = (a: number) => {
          let found = 0;
          for (const [g, b] of known) found += Number(missing.has(key(f, a, g, b)));
          return found;
        };
        // The order rotates from row to row, so that ties do not always give the same value.
        const order = Array.from({ length: size }, (_, i) => (i + rows.length) % size);
        known.set(f, order.reduce((best, a) => gain(a) > gain(best) ? a : best));
      });
      return sizes.map((_, f) => known.get(f)!);
    });
    return complete.sort((a, b) => gainOf(b) - gainOf(a))[0];
  }

  for (const pair of missing) {
    const [f, a, g, b] = [pair >> 15, (pair >> 10) & 31, (pair >> 5) & 31, pair & 31];
    const row = complete(new Map([[f, a], [g, b]]));
    missing.delete(pair);
    if (!row) continue; // No start has both values.
    rows.push(row);
    pairsOf(row).forEach((k) => missing.delete(k));
  }
  return rows;
}

/**
 * Deals rows out to parts of about equal size, so that each part gets about as many rows of every
 * value. Rows are swapped between parts as long as that evens them out.
 *
 * @returns the part of each row.
 */
export function dealOut(rows: readonly (readonly number[])[], parts: number): number[] {
  const dealt = rows.map((_, i) => i % parts);
  // The sum of squares is least where all parts hold a value equally often.
  const unevenness = () => {
    const counts = new Map<string, number>();
    for (const [i, row] of rows.entries()) {
      for (const [f, value] of row.entries()) {
        const key = `${dealt[i]} ${f} ${value}`;
        counts.set(key, (counts.get(key) ?? 0) + 1);
      }
    }
    return counts.values().reduce((sum, count) => sum + count ** 2, 0);
  };
  const swap = (i: number, j: number) => {
    [dealt[i], dealt[j]] = [dealt[j], dealt[i]];
  };
  let [before, now] = [Infinity, unevenness()];
  while (now < before) {
    before = now;
    for (let i = 0; i < rows.length; i++) {
      for (let j = 0; j < i; j++) {
        swap(i, j);
        const swapped = unevenness();
        if (swapped < now) now = swapped;
        else swap(i, j);
      }
    }
  }
  return dealt;
}
