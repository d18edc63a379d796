/** Real attention as a case: a trace's keys, values and queries as inputs, and what a step catches. */
import { packKv } from "../fixtures/half.ts";
import type { Trace } from "../fixtures/trace.ts";
import { attendReference } from "../kernels/attend/reference.ts";
import type { Contender, DeviceLimits } from "../kernels/contender.ts";
import { bufferBytes } from "../kernels/layout.ts";
import { type Problem, windowsOf } from "../kernels/problem.ts";
import { allocate, bindProgram, compilePlan } from "../kernels/program.ts";
import { type Given, InputSets } from "./inputs.ts";
import { readBytes, submitOnce } from "./run_once.ts";

/** Inputs of a trace's problem; set i holds query i (modulo the number of queries). */
export function traceInputs(trace: Trace, p: Problem): { given: Given; encode: true } {
  const cache = (rows: Float32Array) => {
    const all = new Float32Array(p.capacity * p.headDim);
    all.set(rows);
    return packKv(all, p.dtype);
  };
  const [keys, values] = [cache(trace.k), cache(trace.v)];
  return {
    given: {
      keys: () => keys,
      values: () => values,
      q: (set) => queryRows(trace, set % trace.positions.length),
    },
    encode: true,
  };
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

/** Runs a sparse step at every query of a trace and compares it with dense attention in f64. */
export async function measureTrace(
  device: GPUDevice,
  limits: DeviceLimits,
  trace: Trace,
  p: Problem,
  pipeline: Contender,
  settings: { seed: number; unroll: boolean },
): Promise<TraceQuality> {
  const inputs = new InputSets(device, p, {
    limits,
    ...settings,
    budgetBytes: 1e9,
    ...traceInputs(trace, p),
  });
  const params = pipeline.defaults(p, limits);
  const plan = pipeline.plan(p, params);
  const program = await compilePlan(device, plan, { compiler: "naga", unroll: settings.unroll });
  const specs = Object.entries(plan.buffers);
  const own = allocate(device, Object.fromEntries(specs.filter(([, s]) => s.role !== "input")));
  const buffers: Record<string, GPUBuffer> = { ...own };
  for (const [name, spec] of specs) {
    if (spec.role === "input") buffers[name] = await inputs.get(name, spec, params, 0);
  }
  const bound = bindProgram(device, program, buffers);
  const sums = { err: 0, caught: 0, all: 0, middleCaught: 0, middle: 0 };
  try {
    for (const [at, position] of trace.positions.entries()) {
      device.queue.writeBuffer(buffers.lengths, 0, new Uint32Array([position + 1]));
      device.queue.writeBuffer(buffers.q, 0, queryRows(trace, at));
      submitOnce(device, bound);
      const [out, lists] = await Promise.all([
        readBytes(device, buffers.out, 0, bufferBytes(p).out),
        readBytes(device, buffers.selected, 0, bufferBytes(p).selected),
      ]);
      compare(trace, p, at, new Float32Array(out.buffer), new Uint32Array(lists.buffer), sums);
    }
  } finally {
    for (const buffer of Object.values(own)) buffer.destroy();
    inputs.destroy();
  }
  const rows = trace.positions.length * trace.queryHeads;
  return {
    queries: trace.positions.length,
    outputRelErr: sums.err / rows,
    massTotal: sums.caught / sums.all,
    massMiddle: sums.middleCaught / sums.middle,
  };
}

function compare(
  trace: Trace,
  p: Problem,
  at: number,
  out: Float32Array,
  lists: Uint32Array,
  sums: { err: number; caught: number; all: number; middleCaught: number; middle: number },
): void {
  const d = p.headDim;
  const length = trace.positions[at] + 1;
  const { sinkEnd, recentStart, attended } = windowsOf(p, length);
  const everything = Uint32Array.from({ length }, (_, token) => token);
  const row = (rows: Float32Array) => (token: number) => rows.subarray(token * d, (token + 1) * d);
  const queries = queryRows(trace, at);
  const perList = lists.length / (p.qHeads / (p.sharing === "head" ? 1 : p.qHeads));
  for (let head = 0; head < p.qHeads; head++) {
    const q = queries.subarray(head * d, (head + 1) * d);
    const dense = attendReference(q, row(trace.k), row(trace.v), everything);
    let error2 = 0;
    let norm2 = 0;
    for (let i = 0; i < d; i++) {
      error2 += (out[head * d + i] - dense[i]) ** 2;
      norm2 += dense[i] ** 2;
    }
    sums.err += Math.sqrt(error2 / norm2);
    const mass = softmax(q, row(trace.k), length);
    const list = p.sharing === "head" ? head : 0;
    for (const token of lists.subarray(list * perList, list * perList + attended)) {
      sums.caught += mass[token];
      if (token >= sinkEnd && token < recentStart) sums.middleCaught += mass[token];
    }
    for (let token = 0; token < length; token++) {
      sums.all += mass[token];
      if (token >= sinkEnd && token < recentStart) sums.middle += mass[token];
    }
  }
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
