/** A trace as a case: its keys, values and queries as inputs, and the quality of a sparse step. */
import { packKv } from "../../fixtures/half.ts";
import { createTokenIndex, scatterTokens } from "../../fixtures/token_pool.ts";
import type { Trace } from "../../fixtures/trace.ts";
import type { DeviceLimits, Variant } from "../../kernels/core/variant.ts";
import type { Params } from "../../kernels/core/problem/constants.ts";
import { type LearnedMap, packMap } from "../../kernels/maps/learned_map.ts";
import { randomProjection } from "../../kernels/maps/random_projection.ts";
import { isRotated } from "../../kernels/core/problem/derived.ts";
import type { Problem } from "../../kernels/core/problem/problem.ts";
import { rotatePrompt } from "../../kernels/encode/rotate_prompt.ts";
import { type Given, InputSets } from "../measure/inputs/inputs.ts";
import { prepare, recorderOf } from "../measure/prepared_variant.ts";
import {
  type DeviceStep,
  outcomeSelector,
  queriesAt,
  runQueries,
  type StepOutcome,
} from "../selection/device_steps.ts";
import { addSums, type Figures, figuresOf, measure } from "../selection/measure.ts";

/**
 * Inputs of a trace's problem. Set i holds query i (modulo the number of queries). Without a
 * learned map, queries and keys share one random projection, since codes of unrelated maps would
 * select tokens by chance.
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
  const maps = isRotated(p) ? {} : mapInputs(p, seed, learnedMap);
  return {
    given: {
      keys: () => keys,
      values: () => values,
      token_index: () => index,
      pool_keys: () => poolKeys,
      pool_values: () => poolValues,
      ...maps,
      q: (set) => queriesAt(trace, set % trace.positions.length),
    },
    encode: true,
  };
}

function mapInputs(p: Problem, seed: number, learnedMap?: LearnedMap): Given {
  const shared = () => randomProjection(p, seed);
  if (!learnedMap) return { query_map: shared, key_map: shared };
  const { query_map, key_map } = packMap(learnedMap, p);
  return { query_map: () => query_map, key_map: () => key_map };
}

/** The quality of a sparse step over all queries and heads of a trace. */
export interface TraceQuality extends Pick<Figures, "outputRelErr" | "massTotal" | "massMiddle"> {
  readonly queries: number;
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
  const outcome = await runTrace(inputs, trace, pipeline, params)
    .finally(() => inputs.destroy());
  const [[heads]] = measure({
    context: trace,
    selectors: [outcomeSelector(trace, p, [outcome])],
    budgets: [p.topK],
    windows: { sink: p.sink, recent: p.recent },
  });
  const { outputRelErr, massTotal, massMiddle } = figuresOf(heads.reduce(addSums));
  return { queries: trace.positions.length, outputRelErr, massTotal, massMiddle };
}

async function runTrace(
  inputs: InputSets,
  trace: Trace,
  pipeline: Variant,
  params: Params,
): Promise<StepOutcome> {
  const { device, problem } = inputs;
  const prepared = await prepare(inputs, pipeline, params, { hot: true, layers: 1 });
  const buffers = prepared.buffersOf(0);
  // The scale of rotated codes' bins depends on the length of each query's context.
  const encode = isRotated(problem) ? await recorderOf(inputs, rotatePrompt, buffers) : () => {};
  const step: DeviceStep = {
    device,
    problem,
    buffers,
    record(pass) {
      encode(pass);
      prepared.record(pass, 0);
    },
  };
  return await runQueries(trace, step).finally(prepared.destroy);
}

/** A line on a trace's quality. `map` describes the map that made the codes. */
export function describeQuality(pipeline: string, map: string, quality: TraceQuality): string {
  const { queries, outputRelErr, massMiddle, massTotal } = quality;
  const percent = (share: number) => `${(100 * share).toFixed(1)}%`;
  // The windows may leave no middle.
  const middle = massMiddle === null ? "" : `${percent(massMiddle)} of the middle, `;
  return `${pipeline} with ${map}, ${queries} queries: ` +
    `error against dense ${outputRelErr.toFixed(3)}, attention mass caught ` +
    `${middle}${percent(massTotal)} in total`;
}
