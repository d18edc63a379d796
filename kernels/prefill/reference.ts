/** Reference in f64 for prefill attention, for one query row. */
import type { RowOf } from "../attend/reference.ts";
import { denseReference } from "../dense/reference.ts";

/**
 * Causal softmax attention of a prompt's token `token` over the tokens 0 to `token`.
 *
 * @param sinkLogit An extra logit in the softmax's denominator.
 */
export function prefillReference(
  q: ArrayLike<number>,
  rowOfK: RowOf,
  rowOfV: RowOf,
  token: number,
  sinkLogit?: number,
): Float64Array<ArrayBuffer> {
  return denseReference(q, rowOfK, rowOfV, token + 1, sinkLogit);
}
