/** The channels by which Double Sparsity (arXiv 2408.07092) ranks tokens. */
import type { TraceContext } from "../../fixtures/trace.ts";

/** The channels of each query head, most important first; at a tie the lower channel is first. */
export function importantChannels(fit: TraceContext, count: number): number[][] {
  const { headDim, queryHeads, k, q } = fit;
  const meanK = meanMagnitudes(k, headDim);
  return Array.from({ length: queryHeads }, (_, head) => {
    const size = q.length / queryHeads;
    const meanQ = meanMagnitudes(q.subarray(head * size, (head + 1) * size), headDim);
    const weight = meanQ.map((mean, d) => mean * meanK[d]);
    return Array.from(weight.keys()).sort((a, b) => weight[b] - weight[a] || a - b).slice(0, count);
  });
}

/** Mean |x| of each channel of rows [count, headDim]. */
function meanMagnitudes(rows: Float32Array, headDim: number): Float64Array {
  const sums = new Float64Array(headDim);
  for (let i = 0; i < rows.length; i++) sums[i % headDim] += Math.abs(rows[i]);
  return sums.map((sum) => sum / (rows.length / headDim));
}
