/** Keeps marks that would cover each other apart. */

/** A place in pixels. */
export interface Place {
  readonly x: number;
  readonly y: number;
}

/**
 * How far to move each place sideways, in pixels, so that no two of them are closer than `distance`
 * in both directions. A place that nothing covers stays; of those that agree the first one does.
 */
export function dodge(places: readonly Place[], distance: number): number[] {
  const settled: Place[] = [];
  return places.map(({ x, y }) => {
    const isFree = (at: number) =>
      settled.every((other) =>
        Math.abs(other.x - at) >= distance - 1e-9 || Math.abs(other.y - y) >= distance
      );
    // Right, left, then farther: one of these is free, since each place takes up at most three.
    const steps = Array.from({ length: 3 * places.length + 1 }, (_, i) => stepOf(i) * distance);
    const offset = steps.find((step) => isFree(x + step))!;
    settled.push({ x: x + offset, y });
    return offset;
  });
}

/** 0, 1, -1, 2, -2 and so on. */
function stepOf(i: number): number {
  return i % 2 === 1 ? (i + 1) / 2 : -i / 2;
}
