/** Double Sparsity (arXiv 2408.07092): dot products over a few channels chosen beforehand. */
import { counted } from "../../base/counted.ts";
import type { TraceContext } from "../../../fixtures/trace.ts";
import { importantChannels } from "../channels.ts";
import type { Selector } from "../selector.ts";

/**
 * Ranks tokens by the dot product over `count` channels. For each query head these are the channels
 * of largest mean |q| x mean |k| on `fit`. Keys are rounded to f16.
 *
 * @throws {RangeError} if `fit` has other heads or another head dim.
 */
export function doubleSparsitySelector(
  context: TraceContext,
  count: number,
  fit: TraceContext,
): Selector {
  const { headDim, queryHeads, k } = context;
  if (fit.headDim !== headDim || fit.queryHeads !== queryHeads) {
    throw new RangeError(
      `the fit trace has ${counted(fit.queryHeads, "query head")} of ${fit.headDim} channels, ` +
        `the trace ${queryHeads} of ${headDim}`,
    );
  }
  const keys = Float32Array.from(new Float16Array(k));
  const channels = importantChannels(fit, count);
  return {
    bitsPerToken: 16 * channels[0].length * queryHeads,
    costs({ head, length, q }) {
      const costs = new Float64Array(length);
      for (const d of channels[head]) {
        for (let token = 0, at = d; token < length; token++, at += headDim) {
          costs[token] -= q[d] * keys[at];
        }
      }
      return costs;
    },
  };
}
