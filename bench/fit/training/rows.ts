/** Rows of queries and keys: which are drawn, where they lie, and their rotation. Pure. */
import type { Random } from "../../../fixtures/random.ts";
import { createRope } from "../../../fixtures/rope.ts";

/**
 * Draws `count` of the places 0 to `length` - 1 without replacement, or all: a Fisher-Yates
 * shuffle cut short, of which only the places that moved are kept.
 */
export function draw(random: Random, length: number, count: number): Uint32Array<ArrayBuffer> {
  const moved = new Map<number, number>();
  const drawn = new Uint32Array(Math.min(count, length));
  for (let i = 0; i < drawn.length; i++) {
    const other = i + random.below(length - i);
    drawn[i] = moved.get(other) ?? other;
    moved.set(other, moved.get(i) ?? i);
  }
  return drawn;
}

/** How many of the ascending tokens are not above `last`. */
export function countUpTo(tokens: Uint32Array, last: number): number {
  let [low, high] = [0, tokens.length];
  while (low < high) {
    const centre = (low + high) >> 1;
    if (tokens[centre] <= last) low = centre + 1;
    else high = centre;
  }
  return low;
}

/** Copies the rows at the places into `taken`, one after the other. */
export function takeRows(
  rows: Float32Array,
  places: Uint32Array,
  width: number,
  taken: Float32Array,
): void {
  for (let i = 0; i < places.length; i++) {
    taken.set(rows.subarray(places[i] * width, (places[i] + 1) * width), i * width);
  }
}

/** Turns rows by a common offset, in place; without RoPE, or by 0, it leaves them. */
export function createRotation(
  headDim: number,
  base: number | null,
): (rows: Float32Array<ArrayBuffer>, offset: number) => Float32Array<ArrayBuffer> {
  const rope = base === null ? null : createRope(headDim, base);
  return (rows, offset) => {
    if (offset === 0) return rows;
    rope?.(rows, offset, Array.from({ length: rows.length / headDim }, (_, row) => row * headDim));
    return rows;
  };
}
