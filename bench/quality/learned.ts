/** The learned map: the real WGSL pipeline over every query of a trace. */
import type { TraceContext } from "../../fixtures/trace.ts";
import { type LearnedMap, type PackedMap, packMap } from "../../kernels/encode/learned_map.ts";
import { BufferReader, listPlace } from "../../kernels/judge_read.ts";
import { createDecoder, type Decoder } from "../../kernels/pipeline/decoder.ts";
import { codeHeads, type Problem, queriesPerList, roundCapacity } from "../../kernels/problem.ts";
import { readBytes } from "../run_once.ts";
import type { EdgeWindows, Selector } from "./selector.ts";

/** What the pipeline runs with. */
export interface LearnedRun {
  readonly device: GPUDevice;
  readonly map: LearnedMap;
  /** Middle tokens to take, each a run of its own. */
  readonly budgets: readonly number[];
  readonly windows: EdgeWindows;
  /** A pipeline contender (default: the best that the device can run). */
  readonly contender?: string;
}

/** What one run over all queries left. */
interface Outcome {
  readonly contender: string;
  /** [queries, query heads, headDim]. */
  readonly out: Float32Array;
  /** Of each query, of each list: a distance per token. */
  readonly distances: readonly (readonly ArrayLike<number>[])[];
}

/**
 * Runs the pipeline on every query of the context, once for each budget. Keys and values go to the
 * device as f32, which holds what every trace holds, so that all methods meet the same numbers.
 *
 * @throws {RangeError} for a shape or map that the kernels do not take.
 */
export async function learnedSelector(context: TraceContext, run: LearnedRun): Promise<Selector> {
  const outcomes = new Map<number, Outcome>();
  const problem = problemOf(context, run, 0);
  const packed = packMap(run.map, problem);
  for (const k of new Set(run.budgets)) {
    outcomes.set(k, await runQueries(context, problemOf(context, run, k), packed, run));
  }
  // The codes are the same in every run, and so are their distances.
  const [first] = outcomes.values();
  const heads = context.queryHeads;
  return {
    bitsPerToken: problem.bits * codeHeads(problem),
    contender: first.contender,
    costs: ({ head, query }) => first.distances[query][Math.floor(head / queriesPerList(problem))],
    output({ head, query }, k) {
      const start = (query * heads + head) * context.headDim;
      return outcomes.get(k)!.out.subarray(start, start + context.headDim);
    },
  };
}

function problemOf(context: TraceContext, { map, windows }: LearnedRun, k: number): Problem {
  const { queryHeads, headDim, kvLen } = context;
  const { bits, sharing, map: layers } = map.shape;
  return {
    ...{ batch: 1, qHeads: queryHeads, kvHeads: 1, headDim, kvLen },
    ...{ capacity: roundCapacity(kvLen), dtype: "f32", bits, sharing },
    ...{ map: layers, topK: { count: k }, ...windows },
  };
}

async function runQueries(
  context: TraceContext,
  problem: Problem,
  { query_map, key_map }: PackedMap,
  { device, contender }: LearnedRun,
): Promise<Outcome> {
  const { headDim, queryHeads, positions, k, v, kvLen } = context;
  const decoder = await createDecoder(device, problem, contender ? { contender } : {});
  try {
    const { buffers } = decoder;
    const { queue } = device;
    queue.writeBuffer(buffers.keys, 0, k);
    if (v !== null) queue.writeBuffer(buffers.values, 0, v);
    queue.writeBuffer(buffers.query_map, 0, query_map);
    queue.writeBuffer(buffers.key_map, 0, key_map);
    queue.writeBuffer(buffers.lengths, 0, Uint32Array.of(kvLen));
    submit(device, decoder.recordPrompt);
    const reader = new BufferReader(
      problem,
      {},
      (name, offset, length) => readBytes(device, buffers[name], offset, length),
    );
    const out = new Float32Array(positions.length * queryHeads * headDim);
    const distances: ArrayLike<number>[][] = [];
    for (const [query, position] of positions.entries()) {
      queue.writeBuffer(buffers.lengths, 0, Uint32Array.of(position + 1));
      queue.writeBuffer(buffers.q, 0, queriesAt(context, query));
      submit(device, decoder.recordStep);
      const lists = Array.from(
        { length: codeHeads(problem) },
        (_, list) => reader.distances(listPlace(problem, 0, list, position + 1)),
      );
      distances.push(await Promise.all(lists));
      const size = queryHeads * headDim;
      out.set(await reader.f32("out", 0, size), query * size);
    }
    return { contender: decoder.contender, out, distances };
  } finally {
    decoder.destroy();
  }
}

/** One query of every head: f32 [heads, headDim]. */
function queriesAt(context: TraceContext, query: number): Float32Array<ArrayBuffer> {
  const { headDim, queryHeads, positions, q } = context;
  const rows = new Float32Array(queryHeads * headDim);
  for (let head = 0; head < queryHeads; head++) {
    const from = (head * positions.length + query) * headDim;
    rows.set(q.subarray(from, from + headDim), head * headDim);
  }
  return rows;
}

function submit(device: GPUDevice, record: Decoder["recordStep"]): void {
  const encoder = device.createCommandEncoder();
  const pass = encoder.beginComputePass();
  record(pass);
  pass.end();
  device.queue.submit([encoder.finish()]);
}
