/** Reference in f64 for attention over a list of tokens, for one query head. */
import { NO_SINK_LOGIT } from "../core/layout.ts";

/** The row of a token in one head's K or V cache. */
export type RowOf = (token: number) => ArrayLike<number>;

/**
 * Softmax attention over `tokens`; an empty list gives zeros.
 *
 * @param scale Factor of the dot products.
 * @param sinkLogit An extra logit in the softmax's denominator, after scaling.
 * @param biasOf What is added to a token's logit, after scaling.
 * @param softCap Bound of the scaled logits, before the bias.
 */
export function attendReference(
  q: ArrayLike<number>,
  rowOfK: RowOf,
  rowOfV: RowOf,
  tokens: ArrayLike<number>,
  scale: number = 1 / Math.sqrt(q.length),
  sinkLogit: number = NO_SINK_LOGIT,
  biasOf: (token: number) => number = () => 0,
  softCap: number = Infinity,
): Float64Array<ArrayBuffer> {
  const out = new Float64Array(tokens.length === 0 ? q.length : rowOfV(tokens[0]).length);
  if (tokens.length === 0) return out;
  const logits = new Float64Array(tokens.length);
  let highest = sinkLogit;
  for (let i = 0; i < tokens.length; i++) {
    const row = rowOfK(tokens[i]);
    let dot = 0;
    for (let d = 0; d < q.length; d++) dot += q[d] * row[d];
    const logit = softCap < Infinity ? softCap * Math.tanh(dot * scale / softCap) : dot * scale;
    logits[i] = logit + biasOf(tokens[i]);
    // Math.max() keeps a NaN, unlike a comparison.
    highest = Math.max(highest, logits[i]);
  }
  let denominator = sinkLogit <= NO_SINK_LOGIT ? 0 : Math.exp(sinkLogit - highest);
  for (let i = 0; i < tokens.length; i++) {
    const weight = Math.exp(logits[i] - highest);
    const row = rowOfV(tokens[i]);
    denominator += weight;
    for (let d = 0; d < out.length; d++) out[d] += weight * row[d];
  }
  return out.map((sum) => sum / denominator);
}
