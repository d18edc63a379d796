/**
 * Test support: computes the figures of a selection method on a trace with the kernels' references,
 * independently of `bench/selection/`.
 */
import type { Trace, TraceContext } from "../../fixtures/trace.ts";
import { attendReference } from "../../kernels/attend/reference.ts";
import { binsOf, planesOf, tiesOf, windowsOf } from "../../kernels/core/problem/derived.ts";
import type { Problem } from "../../kernels/core/problem/problem.ts";
import { denseReference } from "../../kernels/dense/reference.ts";
import {
  encodeReference,
  magnitudeOf,
  magnitudeUnits,
  packBits,
} from "../../kernels/encode/reference.ts";
import { factorByte, factorValue, keyFactor, rotate } from "../../kernels/encode/rotation.ts";
import { randomProjection } from "../../kernels/maps/random_projection.ts";
import { binnedDistance, scaleOf } from "../../kernels/score/bins.ts";
import { scoreReference } from "../../kernels/score/reference.ts";
import { selectReference } from "../../kernels/select/reference.ts";

/** The cost of each token for one query of one head, directly from the method's definition. */
export type CostsOf = (q: Float32Array, keys: readonly Float32Array[], head: number) => number[];

/** The dot product. */
export function dot(a: ArrayLike<number>, b: ArrayLike<number>): number {
  return Array.from(a, (x, i) => x * b[i]).reduce((sum, product) => sum + product, 0);
}

/** Figures over all queries of all heads. */
export interface TraceFigures {
  readonly recall: number;
  readonly massMiddle: number;
  readonly massTotal: number;
  readonly outputRelErr: number;
}

/**
 * Computes the figures of a method with references alone.
 *
 * @param rule Windows, and the number of middle tokens to select.
 * @param costsOf Costs of the tokens; null selects no middle tokens.
 */
export function referenceFigures(
  trace: Trace,
  rule: Pick<Problem, "sink" | "recent" | "topK" | "ties">,
  costsOf: CostsOf | null,
): TraceFigures {
  const { headDim, positions, queryHeads } = trace;
  const keyOf = (token: number) => trace.k.subarray(token * headDim, (token + 1) * headDim);
  const valueOf = (token: number) => trace.v.subarray(token * headDim, (token + 1) * headDim);
  let [recall, caughtMiddle, middle, caught, error] = [0, 0, 0, 0, 0];
  for (let head = 0; head < queryHeads; head++) {
    for (const [query, position] of positions.entries()) {
      const start = (head * positions.length + query) * headDim;
      const q = trace.q.subarray(start, start + headDim);
      const length = position + 1;
      const keys = Array.from({ length }, (_, token) => keyOf(token));
      const logits = keys.map((key) => dot(q, key) / Math.sqrt(headDim));
      const highest = logits.reduce((a, b) => Math.max(a, b));
      const total = logits.reduce((sum, logit) => sum + Math.exp(logit - highest), 0);
      const mass = (token: number) => Math.exp(logits[token] - highest) / total;
      const windows = windowsOf(rule, length);
      const isMiddle = (token: number) => token >= rule.sink && token < length - rule.recent;
      const ranked = selectReference(logits.map((logit) => -logit), windows);
      const exact = new Set(ranked.filter(isMiddle));
      const tokens = costsOf
        ? selectReference(costsOf(q, keys, head), windows, tiesOf(rule))
        : selectReference(logits, windowsOf({ ...rule, topK: { count: 0 } }, length));
      recall += tokens.filter((token) => exact.has(token)).length / windows.kEff;
      for (let token = rule.sink; token < length - rule.recent; token++) middle += mass(token);
      for (const token of tokens) {
        caught += mass(token);
        if (isMiddle(token)) caughtMiddle += mass(token);
      }
      const dense = denseReference(q, keyOf, valueOf, length);
      const out = attendReference(q, keyOf, valueOf, tokens);
      error += Math.hypot(...out.map((x, d) => x - dense[d])) / Math.hypot(...dense);
    }
  }
  const queries = queryHeads * positions.length;
  return {
    recall: recall / queries,
    massMiddle: caughtMiddle / middle,
    massTotal: caught / queries,
    outputRelErr: error / queries,
  };
}

/** The problem of a trace with codes of 32 random planes in f16 and 1/32 of the tokens selected. */
export function projectionProblem({ headDim, kvLen, queryHeads }: TraceContext): Problem {
  return {
    batch: 1,
    qHeads: queryHeads,
    kvHeads: 1,
    headDim,
    kvLen,
    capacity: kvLen,
    dtype: "f16",
    bits: 32,
    sharing: "head",
    map: { layers: 1, hidden: 128, dtype: "f16" },
    topK: { sparsity: 32 },
    sink: 128,
    recent: 128,
  };
}

/** Hamming distances of the codes of {@linkcode projectionProblem}. */
export function projectionCosts(trace: TraceContext, problem: Problem): CostsOf {
  const { headDim, queryHeads, kvLen } = trace;
  const map = new Float16Array(randomProjection(problem, 1).buffer);
  const encode = (row: ArrayLike<number>, head: number) => {
    const numbers = map.subarray(head * 32 * (headDim + 1), (head + 1) * 32 * (headDim + 1));
    const weights = numbers.subarray(0, 32 * headDim);
    return packBits(encodeReference(row, [{ weights, bias: numbers.subarray(32 * headDim) }]))[0];
  };
  const codes = Array.from({ length: queryHeads }, (_, head) =>
    Uint32Array.from(
      { length: kvLen },
      (_, token) => encode(trace.k.subarray(token * headDim, (token + 1) * headDim), head),
    ));
  return (q, keys, head) => [
    ...scoreReference(
      Uint32Array.of(encode(q, head)),
      codes[head].subarray(0, keys.length),
      1,
    ),
  ];
}

/** Distances of rotated codes, directly from their definition. */
export function rotatedCosts(trace: TraceContext, problem: Problem): CostsOf {
  const { headDim, kvLen } = trace;
  const { bits } = problem;
  const bins = binsOf(problem);
  const planes = planesOf(problem);
  const rowOf = (token: number) => trace.k.subarray(token * headDim, (token + 1) * headDim);
  const keys = Array.from({ length: kvLen }, (_, token) => {
    const outputs = rotate(rowOf(token), bits, 1);
    return { outputs, byte: factorByte(keyFactor(outputs)) };
  });
  return (q, { length }) => {
    const outputs = rotate(q, bits, 1);
    const units = magnitudeUnits(outputs, planes);
    const magnitudes = Array.from(units, (unit) => magnitudeOf(unit, planes));
    const cached = keys.slice(0, length - 1);
    const squares = cached.reduce((sum, { byte }) => sum + factorValue(byte) ** 2, 0);
    const scale = scaleOf(magnitudes, Math.sqrt(squares / (length - 1)), bins);
    return keys.slice(0, length).map((key) => {
      const differing = (j: number) => (key.outputs[j] > 0) !== (outputs[j] > 0);
      const weighted = magnitudes.reduce((sum, m, j) => differing(j) ? sum + m : sum, 0);
      return binnedDistance(weighted, key.byte, scale, bins);
    });
  };
}
