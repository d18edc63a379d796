/** References for the bounds of pages, and for the scores that follow from them. */
import type { RowOf } from "../attend/reference.ts";

/** Orders elements as the kernels do: -0 is below +0, and NaN beyond infinity of its sign. */
function isBelow(a: number, b: number): boolean {
  if (Number.isNaN(a) || Number.isNaN(b)) return !Number.isNaN(a);
  return a < b || (a === b && Object.is(a, -0) && Object.is(b, 0));
}

/**
 * The least and the largest element of each channel over tokens `start` to `end`, [2, D]. A NaN is
 * the largest element.
 */
export function pageBoundsReference(
  rowOfK: RowOf,
  start: number,
  end: number,
): Float64Array<ArrayBuffer> {
  const first = rowOfK(start);
  const bounds = new Float64Array(2 * first.length);
  bounds.set(first);
  bounds.set(first, first.length);
  for (let token = start + 1; token < end; token++) {
    const row = rowOfK(token);
    for (let d = 0; d < row.length; d++) {
      if (isBelow(row[d], bounds[d])) bounds[d] = row[d];
      if (isBelow(bounds[row.length + d], row[d])) bounds[row.length + d] = row[d];
    }
  }
  return bounds;
}
