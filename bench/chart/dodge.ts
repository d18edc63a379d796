/** Moves marks apart that would cover each other. */

/** A place in pixels. */
export interface Place {
  readonly x: number;
  readonly y: number;
}

/**
 * The pixels by which to move each place sideways, so that no two places are closer than `distance`
 * in both directions. A place that covers no earlier one stays.
 */
export function dodge(places: readonly Place[], distance: number): number[] {
  const settled: Place[] = [];
  return places.map(({ x, y }) => {
    const isFree = (newX: number) =>
      settled.every((other) =>
        Math.abs(other.x - newX) >= distance - 1e-9 || Math.abs(other.y - y) >= distance
      );
    // Tries right, left, then farther. One step is free, since each place takes up at most three.
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
