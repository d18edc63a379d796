/** Quest (arXiv 2406.10774): pages of tokens, chosen by a bound on their largest dot product. Pure. */
import type { TraceContext } from "../../fixtures/trace.ts";
import type { QueryRow, Selector } from "../selection/selector.ts";

/**
 * A selector by pages of `pageTokens` tokens, cut at multiples of that from token 0. A page's
 * bound is the sum over the channels of max(q min, q max), unquantised, over those of its keys that
 * the query may attend.
 *
 * Exactly as many tokens are taken as every other method takes: pages in the order of their bounds,
 * and of the last one its first tokens. Of a page that a window cuts, the part in the middle is
 * taken.
 */
export function questSelector(context: TraceContext, pageTokens: number): Selector {
  const { k, headDim, kvLen } = context;
  const pages = Math.ceil(kvLen / pageTokens);
  const whole = Array.from({ length: pages }, (_, page) => {
    const bounds = new Float32Array(2 * headDim);
    boundKeys(k, page * pageTokens, Math.min((page + 1) * pageTokens, kvLen), bounds);
    return bounds;
  });
  const part = new Float32Array(2 * headDim);
  return {
    // Minimum and maximum of each channel in 16 bits, shared by the tokens of a page.
    bitsPerToken: 2 * headDim * 16 / pageTokens,
    costs({ q, length, sinkEnd, recentStart }: QueryRow) {
      const costs = new Float64Array(length);
      for (let start = sinkEnd, end; start < recentStart; start = end) {
        const page = Math.floor(start / pageTokens);
        const pageEnd = (page + 1) * pageTokens;
        const hasLaterKeys = length < Math.min(pageEnd, kvLen);
        if (hasLaterKeys) boundKeys(k, page * pageTokens, length, part);
        end = Math.min(pageEnd, recentStart);
        costs.fill(-upperBound(q, hasLaterKeys ? part : whole[page]), start, end);
      }
      return costs;
    },
  };
}

/** Writes minimum and maximum of each channel over the keys `start` to `end` into [2, headDim]. */
function boundKeys(k: Float32Array, start: number, end: number, into: Float32Array): void {
  const headDim = into.length / 2;
  into.fill(Infinity, 0, headDim).fill(-Infinity, headDim);
  for (let token = start; token < end; token++) {
    for (let d = 0; d < headDim; d++) {
      const x = k[token * headDim + d];
      if (x < into[d]) into[d] = x;
      if (x > into[headDim + d]) into[headDim + d] = x;
    }
  }
}

/** The largest dot product that a key within the bounds [2, headDim] can have. */
function upperBound(q: Float32Array, bounds: Float32Array): number {
  let sum = 0;
  for (let d = 0; d < q.length; d++) sum += q[d] * bounds[q[d] > 0 ? q.length + d : d];
  return sum;
}
