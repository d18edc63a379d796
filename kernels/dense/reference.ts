/** Reference in f64 for the dense kernels, for one query head: attention over every token. */
import { attendReference, type RowOf } from "../attend/reference.ts";

/**
 * Softmax attention over the tokens 0 to `length - 1`.
 *
 * @param sinkLogit An extra logit in the softmax's denominator.
 * @param scale Factor of the dot products.
 * @param softCap Bound of the scaled logits.
 */
export function denseReference(
  q: ArrayLike<number>,
  rowOfK: RowOf,
  rowOfV: RowOf,
  length: number,
  sinkLogit?: number,
  scale?: number,
  softCap?: number,
): Float64Array<ArrayBuffer> {
  const all = Uint32Array.from({ length }, (_, token) => token);
  return attendReference(q, rowOfK, rowOfV, all, scale, sinkLogit, undefined, softCap);
}
