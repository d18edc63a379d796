/** Reference in f64 for the merge of a split attention, for one query head. */
import { NO_SINK_LOGIT } from "../core/layout.ts";

/**
 * Joins partial attentions. The result is 0 if all of them are empty.
 *
 * @param partialOut [splits, D], sums of rows of V weighted by 2^(logit - the split's maximum).
 * @param partialStats [splits, 2]: the maximum of the log2-domain logits, the sum of the weights.
 * @param sinkLogit An extra logit (natural, not log2) in the softmax's denominator.
 */
export function mergeReference(
  partialOut: ArrayLike<number>,
  partialStats: ArrayLike<number>,
  sinkLogit: number = NO_SINK_LOGIT,
): Float64Array<ArrayBuffer> {
  const splits = partialStats.length / 2;
  const out = new Float64Array(partialOut.length / splits);
  const sink = sinkLogit <= NO_SINK_LOGIT ? NO_SINK_LOGIT : sinkLogit * Math.LOG2E;
  let highest = sink;
  for (let s = 0; s < splits; s++) highest = Math.max(highest, partialStats[2 * s]);
  let attended = 0;
  for (let s = 0; s < splits; s++) {
    const scale = 2 ** (partialStats[2 * s] - highest);
    attended += scale * partialStats[2 * s + 1];
    for (let d = 0; d < out.length; d++) out[d] += scale * partialOut[s * out.length + d];
  }
  if (attended === 0) return out.fill(0);
  const denominator = attended + (sink === NO_SINK_LOGIT ? 0 : 2 ** (sink - highest));
  return out.map((sum) => sum / denominator);
}
