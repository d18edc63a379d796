/** Ranges and ticks of logarithmic axes. */

/** The range of the values, with a margin on both sides. */
export function rangeOf(values: readonly number[]): [number, number] {
  return [Math.min(...values) / 1.3, Math.max(...values) * 1.3];
}

/** The powers of 10 in the range of the values. */
export function powersOf10(values: readonly number[]): number[] {
  const [low, high] = rangeOf(values).map(Math.log10);
  const first = Math.ceil(low);
  return Array.from(
    { length: Math.max(0, Math.floor(high) - first + 1) },
    (_, i) => 10 ** (first + i),
  );
}
