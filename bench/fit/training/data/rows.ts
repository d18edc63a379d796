/** Draws, copies and rotates rows of queries and keys. */
import type { Random } from "../../../../fixtures/random.ts";
import { createRope } from "../../../../fixtures/rope.ts";

/**
 * Draws `count` of the indices 0 to `length` - 1 without replacement, or all if there are fewer: a
 * partial Fisher-Yates shuffle that stores only the entries that moved.
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

/** Counts the tokens up to and including `last` in an ascending list. */
export function countUpTo(tokens: Uint32Array, last: number): number {
  let [low, high] = [0, tokens.length];
  while (low < high) {
    const centre = (low + high) >> 1;
    if (tokens[centre] <= last) low = centre + 1;
    else high = centre;
  }
  return low;
}

/** Copies the rows at the indices into `taken`, one after the other. */
export function takeRows(
  rows: Float32Array,
  indices: Uint32Array,
  width: number,
  taken: Float32Array,
): void {
  for (let i = 0; i < indices.length; i++) {
    taken.set(rows.subarray(indices[i] * width, (indices[i] + 1) * width), i * width);
  }
}

/** Makes a function that rotates rows in place by an offset; without RoPE it changes nothing. */
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
