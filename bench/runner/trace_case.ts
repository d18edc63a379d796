/** Real attention as a case: a trace's keys, values and queries as inputs, and what a step catches. */
import { packKv } from "../../fixtures/half.ts";
import { createTokenIndex, scatterTokens } from "../../fixtures/token_pool.ts";
import type { Trace } from "../../fixtures/trace.ts";
import { attendReference } from "../../kernels/attend/reference.ts";
import type { DeviceLimits, Variant } from "../../kernels/core/variant.ts";
import { type LearnedMap, packMap } from "../../kernels/maps/learned_map.ts";
import { randomProjection } from "../../kernels/maps/random_projection.ts";
import { BufferReader, listRef } from "../../kernels/verify/buffer_reader.ts";
import { codeHeads, type Problem, queriesPerList, windowsOf } from "../../kernels/core/problem.ts";
import { bindProgram, compilePlan } from "../../kernels/core/program.ts";
import { selectReference } from "../../kernels/select/reference.ts";
import { allocateWithin } from "../measure/device/device_memory.ts";
import { type Given, InputSets } from "../measure/inputs/inputs.ts";
import { readBytes, submitOnce } from "../measure/device/run_once.ts";

/**
 * Inputs of a trace's problem; set i holds query i (modulo the number of queries). Where there is no
 * learned map, one random projection maps queries and keys alike, as codes of unrelated maps would
 * pick tokens by chance.
 */
export function traceInputs(
  trace: Trace,
  p: Problem,
  { seed, learnedMap }: { readonly seed: number; readonly learnedMap?: LearnedMap },
): { given: Given; encode: true } {
  const cache = (rows: Float32Array) => {
    const all = new Float32Array(p.capacity * p.headDim);
    all.set(rows);
    return packKv(all, p.dtype);
  };
  const [keys, values] = [cache(trace.k), cache(trace.v)];
  const sequence = { ...p, lengths: [trace.kvLen] };
  const index = createTokenIndex({ ...sequence, seed });
  const pool = (rows: Float32Array) => {
    const all = new Float32Array(p.capacity * p.headDim);
    all.set(rows);
    return packKv(scatterTokens(all, index, sequence), p.dtype);
  };
  const [poolKeys, poolValues] = [pool(trace.k), pool(trace.v)];
  const map = learnedMap ? packMap(learnedMap, p) : sameForBoth(randomProjection(p, seed));
  return {
    given: {
      keys: () => keys,
      values: () => values,
      token_index: () => index,
      pool_keys: () => poolKeys,
      pool_values: () => poolValues,
      query_map: () => map.query_map,
      key_map: () => map.key_map,
      q: (set) => queryRows(trace, set % trace.positions.length),
    },
    encode: true,
  };
}

function sameForBoth(map: ArrayBufferView<ArrayBuffer>) {
  return { query_map: map, key_map: map };
}

/** Query `at` of every head: f32 [heads, D]. */
function queryRows(trace: Trace, at: number): Float32Array<ArrayBuffer> {
  const { headDim, queryHeads, positions } = trace;
  const rows = new Float32Array(queryHeads * headDim);
  for (let head = 0; head < queryHeads; head++) {
    const from = (head * positions.length + at) * headDim;
    rows.set(trace.q.subarray(from, from + headDim), head * headDim);
  }
  return rows;
}

/** What a sparse step made of a trace, over all its queries and heads. */
export interface TraceQuality {
  readonly queries: number;
  /** Mean over queries and heads of ||o - dense|| / ||dense||. */
  readonly outputRelErr: number;
  /** Attention mass of the attended tokens: sum caught / sum. */
  readonly massTotal: number;
  /** The same of the middle alone (neither sink nor recent). */
  readonly massMiddle: number;
}

/** What adds up to a {@linkcode TraceQuality}. */
interface Sums {
  error: number;
  caught: number;
  all: number;
  middleCaught: number;
  middle: number;
}

/** Runs a sparse step at every query of a trace and compares it with dense attention in f64. */
export async function measureTrace(
  device: GPUDevice,
  limits: DeviceLimits,
  trace: Trace,
  p: Problem,
  pipeline: Variant,
  settings: { seed: number; unroll: boolean; learnedMap?: LearnedMap },
): Promise<TraceQuality> {
  const inputs = new InputSets(device, p, {
    limits,
    ...settings,
    budgetBytes: 1e9,
    ...traceInputs(trace, p, settings),
  });
  const params = pipeline.defaults(p, limits);
  const plan = pipeline.plan(p, params);
  const program = await compilePlan(device, plan, { unroll: settings.unroll });
  const specs = Object.entries(plan.buffers);
  const outputs = Object.fromEntries(specs.filter(([, { role }]) => role !== "input"));
  const own = await allocateWithin(device, outputs);
  const sums: Sums = { error: 0, caught: 0, all: 0, middleCaught: 0, middle: 0 };
  try {
    const buffers: Record<string, GPUBuffer> = { ...own };
    for (const [name, spec] of specs) {
      if (spec.role === "input") buffers[name] = await inputs.get(name, spec, params, 0);
    }
    const bound = bindProgram(device, program, buffers);
    const reader = new BufferReader(
      p,
      params,
      (name, offset, length) => readBytes(device, buffers[name], offset, length),
    );
    for (const [at, position] of trace.positions.entries()) {
      const queries = queryRows(trace, at);
      device.queue.writeBuffer(buffers.lengths, 0, Uint32Array.of(position + 1));
      device.queue.writeBuffer(buffers.q, 0, queries);
      submitOnce(device, bound);
      await Promise.all(
        Array.from({ length: codeHeads(p) }, async (_, list) => {
          const place = listRef(p, 0, list, position + 1);
          const [distances, outputs] = await Promise.all([
            reader.distances(place),
            reader.f32("out", list * queriesPerList(p) * p.headDim, queriesPerList(p) * p.headDim),
          ]);
          // Not every step writes its list out; this is what its check found it to take.
          const tokens = selectReference(distances, windowsOf(p, place.length));
          for (const [i, head] of place.queryRows.entries()) {
            const rowOf = (rows: Float32Array, row: number) =>
              rows.subarray(row * p.headDim, (row + 1) * p.headDim);
            addHead(sums, trace, p, place.length, {
              q: rowOf(queries, head),
              out: rowOf(outputs, i),
              tokens,
            });
          }
        }),
      );
    }
  } finally {
    for (const buffer of Object.values(own)) buffer.destroy();
    inputs.destroy();
  }
  return {
    queries: trace.positions.length,
    outputRelErr: sums.error / (trace.positions.length * trace.queryHeads),
    massTotal: sums.caught / sums.all,
    // Windows that leave no middle leave nothing to miss.
    massMiddle: sums.middle > 0 ? sums.middleCaught / sums.middle : 1,
  };
}

/** Adds what one head made of one query, over the first `length` tokens. */
function addHead(
  sums: Sums,
  trace: Trace,
  p: Problem,
  length: number,
  { q, out, tokens }: { q: Float32Array; out: Float32Array; tokens: Uint32Array },
): void {
  const rowsOf = (rows: Float32Array) => (token: number) =>
    rows.subarray(token * p.headDim, (token + 1) * p.headDim);
  const keys = rowsOf(trace.k);
  const { sinkEnd, recentStart } = windowsOf(p, length);
  const everything = Uint32Array.from({ length }, (_, token) => token);
  const dense = attendReference(q, keys, rowsOf(trace.v), everything);
  const distance2 = dense.reduce((sum, want, i) => sum + (out[i] - want) ** 2, 0);
  const norm2 = dense.reduce((sum, want) => sum + want ** 2, 0);
  sums.error += Math.sqrt(distance2 / norm2);

  const mass = softmax(q, keys, length);
  const total = (weights: Float64Array) => weights.reduce((sum, weight) => sum + weight, 0);
  sums.all += total(mass);
  sums.middle += total(mass.subarray(sinkEnd, recentStart));
  for (const token of tokens) {
    sums.caught += mass[token];
    if (token >= sinkEnd && token < recentStart) sums.middleCaught += mass[token];
  }
}

/** A line on a trace's quality, for people; `map` is what made the codes. */
export function describeQuality(pipeline: string, map: string, quality: TraceQuality): string {
  const { queries, outputRelErr, massMiddle, massTotal } = quality;
  const percent = (share: number) => `${(100 * share).toFixed(1)}%`;
  return `${pipeline} with ${map}, ${queries} queries: ` +
    `error against dense ${outputRelErr.toFixed(3)}, attention mass caught ` +
    `${percent(massMiddle)} of the middle, ${percent(massTotal)} in total`;
}

/** Attention weights of a query over the first `length` keys. */
function softmax(
  q: Float32Array,
  key: (token: number) => Float32Array,
  length: number,
): Float64Array {
  const weights = new Float64Array(length);
  for (let token = 0; token < length; token++) {
    const k = key(token);
    for (let i = 0; i < q.length; i++) weights[token] += q[i] * k[i];
    weights[token] /= Math.sqrt(q.length);
  }
  const highest = weights.reduce((a, b) => Math.max(a, b), -Infinity);
  let total = 0;
  for (let i = 0; i < length; i++) total += weights[i] = Math.exp(weights[i] - highest);
  return weights.map((weight) => weight / total);
}
