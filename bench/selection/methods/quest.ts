/** Quest (arXiv 2406.10774): ranks pages of tokens by a bound on their largest dot product. */
import type { TraceContext } from "../../../fixtures/trace.ts";
import type { QueryRow, Selector } from "../selector.ts";

/**
 * Ranks tokens by pages of `pageTokens` tokens, which begin at multiples of that number. The bound
 * of a page is the sum over the channels of max(q min, q max), unquantised, over the keys of the
 * page that the query may attend.
 *
 * It selects exactly as many tokens as every other method: pages in the order of their bounds, and
 * the first tokens of the last page. If a window overlaps a page, only the page's tokens in the
 * middle are selected.
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
    // The minimum and maximum of each channel take 16 bits each, for all tokens of a page.
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

/** Writes the minimum and maximum of each channel over keys `start` to `end` to [2, headDim]. */
function boundKeys(k: Float32Array, start: number, end: number, bounds: Float32Array): void {
  const headDim = bounds.length / 2;
  bounds.fill(Infinity, 0, headDim).fill(-Infinity, headDim);
  for (let token = start; token < end; token++) {
    for (let d = 0; d < headDim; d++) {
      const x = k[token * headDim + d];
      if (x < bounds[d]) bounds[d] = x;
      if (x > bounds[headDim + d]) bounds[headDim + d] = x;
    }
  }
}

/** The largest dot product that a key within the bounds [2, headDim] can have. */
function upperBound(q: Float32Array, bounds: Float32Array): number {
  let sum = 0;
  for (let d = 0; d < q.length; d++) sum += q[d] * bounds[q[d] > 0 ? q.length + d : d];
  return sum;
}
