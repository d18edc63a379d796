/** Codes of a random projection, scored by Hamming distance. */
import type { TraceContext } from "../../../fixtures/trace.ts";
import { packBits } from "../../../kernels/encode/reference.ts";
import { randomProjection } from "../../../kernels/maps/random_projection.ts";
import type { Problem } from "../../../kernels/core/problem/problem.ts";
import { scoreReference } from "../../../kernels/score/reference.ts";
import type { Selector } from "../selector.ts";

/**
 * Ranks tokens by the signs of `bits` random planes. Each query head has its own planes, in f16 as
 * in the kernels.
 */
export function randomSelector(context: TraceContext, bits: number, seed: number): Selector {
  const { headDim, queryHeads, kvLen, positions, k, q } = context;
  const words = bits / 32;
  const planes = planesOf(context, bits, seed);
  const keyCodes = planes.map((weights) => encodeRows(k, kvLen, weights, bits));
  const queryCodes = planes.map((weights, head) => {
    const size = positions.length * headDim;
    return encodeRows(q.subarray(head * size, (head + 1) * size), positions.length, weights, bits);
  });
  return {
    bitsPerToken: bits * queryHeads,
    costs({ head, query, length }) {
      const code = queryCodes[head].subarray(query * words, (query + 1) * words);
      return scoreReference(code, keyCodes[head].subarray(0, length * words), words);
    },
  };
}

/** The weights [headDim, bits] of each query head. */
function planesOf(context: TraceContext, bits: number, seed: number): Float32Array[] {
  const { headDim, queryHeads, kvLen } = context;
  const problem: Problem = {
    batch: 1,
    qHeads: queryHeads,
    kvHeads: 1,
    headDim,
    kvLen,
    capacity: kvLen,
    dtype: "f32",
    bits,
    sharing: "head",
    map: { layers: 1, hidden: 128, dtype: "f16" },
    topK: { count: 0 },
    sink: 0,
    recent: 0,
  };
  const numbers = new Float16Array(randomProjection(problem, seed).buffer);
  const size = (headDim + 1) * bits;
  return Array.from(
    { length: queryHeads },
    (_, head) => Float32Array.from(numbers.subarray(head * size, head * size + headDim * bits)),
  );
}

/** Encodes rows [count, headDim] as codes [count, words]. */
function encodeRows(
  rows: Float32Array,
  count: number,
  weights: Float32Array,
  bits: number,
): Uint32Array {
  const headDim = weights.length / bits;
  const words = bits / 32;
  const codes = new Uint32Array(count * words);
  const sums = new Float64Array(bits);
  for (let row = 0; row < count; row++) {
    sums.fill(0);
    for (let d = 0, i = 0; d < headDim; d++) {
      const x = rows[row * headDim + d];
      for (let bit = 0; bit < bits; bit++, i++) sums[bit] += x * weights[i];
    }
    codes.set(packBits(sums), row * words);
  }
  return codes;
}
