/** The learned map: the real WGSL pipeline over every query of a trace. */
import type { TraceContext } from "../../fixtures/trace.ts";
import { type LearnedMap, type PackedMap, packMap } from "../../kernels/maps/learned_map.ts";
import { BufferReader, listRef } from "../../kernels/verify/buffer_reader.ts";
import { createDecoder, type Decoder } from "../../kernels/decoder/decoder.ts";
import {
  checkShape,
  codeHeads,
  type Problem,
  queriesPerList,
  roundCapacity,
} from "../../kernels/core/problem.ts";
import { SHAPE_WORDS } from "../cases/case_options.ts";
import { readBytes } from "../measure/device/run_once.ts";
import type { EdgeWindows, Selector } from "../selection/selector.ts";

/** What the pipeline runs with. */
export interface LearnedRun {
  readonly device: GPUDevice;
  readonly map: LearnedMap;
  /** Middle tokens to take, each a run of its own. */
  readonly budgets: readonly number[];
  readonly windows: EdgeWindows;
  /** A pipeline variant (default: the best that the device can run). */
  readonly variant?: string;
  /** Called with the share of the work that is done. */
  onProgress?(fraction: number): void;
}

/** What one run over all queries left. */
interface Outcome {
  readonly variant: string;
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
  const problem = problemOf(context, run, 0);
  checkShape(problem, SHAPE_WORDS);
  const packed = packMap(run.map, problem);
  const outcomes = new Map<number, Outcome>();
  const ks = [...new Set(run.budgets)];
  const options = run.variant ? { variant: run.variant } : {};
  const decoders: Decoder[] = [];
  try {
    for (const [i, k] of ks.entries()) {
      const buffers = sharedBuffers(decoders[0]);
      const each = problemOf(context, run, k);
      decoders.push(await createDecoder(run.device, each, { ...options, buffers }));
      if (i === 0) writePrompt(context, packed, run.device, decoders[0]);
      const onProgress = (fraction: number) => run.onProgress?.((i + fraction) / ks.length);
      outcomes.set(k, await runQueries(context, run.device, decoders[i], onProgress));
    }
  } finally {
    for (const decoder of decoders.reverse()) decoder.destroy();
  }
  // The codes are the same in every run, and so are their distances.
  const [first] = outcomes.values();
  const heads = context.queryHeads;
  return {
    bitsPerToken: problem.bits * codeHeads(problem),
    variant: first.variant,
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
    batch: 1,
    qHeads: queryHeads,
    kvHeads: 1,
    headDim,
    kvLen,
    capacity: roundCapacity(kvLen),
    dtype: "f32",
    bits,
    sharing,
    map: layers,
    topK: { count: k },
    ...windows,
  };
}

/** Buffers that the runs have in common: the prompt is encoded once. */
const SHARED = ["keys", "values", "codes", "query_map", "key_map", "lengths", "q"] as const;

function sharedBuffers(decoder: Decoder | undefined): Record<string, GPUBuffer> {
  if (decoder === undefined) return {};
  return Object.fromEntries(SHARED.map((name) => [name, decoder.buffers[name]]));
}

function writePrompt(
  { k, v, kvLen }: TraceContext,
  { query_map, key_map }: PackedMap,
  device: GPUDevice,
  { buffers, recordPrompt }: Decoder,
): void {
  const { queue } = device;
  queue.writeBuffer(buffers.keys, 0, k);
  if (v !== null) queue.writeBuffer(buffers.values, 0, v);
  queue.writeBuffer(buffers.query_map, 0, query_map);
  queue.writeBuffer(buffers.key_map, 0, key_map);
  queue.writeBuffer(buffers.lengths, 0, Uint32Array.of(kvLen));
  submit(device, recordPrompt);
}

async function runQueries(
  context: TraceContext,
  device: GPUDevice,
  { problem, variant, buffers, recordStep }: Decoder,
  onProgress: (fraction: number) => void,
): Promise<Outcome> {
  const { headDim, queryHeads, positions } = context;
  const reader = new BufferReader(
    problem,
    {},
    (name, offset, length) => readBytes(device, buffers[name], offset, length),
  );
  const size = queryHeads * headDim;
  const out = new Float32Array(positions.length * size);
  const distances: ArrayLike<number>[][] = [];
  for (const [query, position] of positions.entries()) {
    onProgress(query / positions.length);
    device.queue.writeBuffer(buffers.lengths, 0, Uint32Array.of(position + 1));
    device.queue.writeBuffer(buffers.q, 0, queriesAt(context, query));
    submit(device, recordStep);
    const lists = Array.from(
      { length: codeHeads(problem) },
      (_, list) => reader.distances(listRef(problem, 0, list, position + 1)),
    );
    distances.push(await Promise.all(lists));
    out.set(await reader.f32("out", 0, size), query * size);
  }
  return { variant, out, distances };
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
