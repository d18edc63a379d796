/** Runs a sparse step on a device at every query, and makes a selector of its results. */
import type { TraceContext } from "../../fixtures/trace.ts";
import {
  codeHeads,
  isRotated,
  listHeads,
  queriesPerList,
  tiesOf,
} from "../../kernels/core/problem/derived.ts";
import type { Problem } from "../../kernels/core/problem/problem.ts";
import { readerOf, type RecordPass, submit, write } from "../../kernels/core/run/run.ts";
import { BufferReader } from "../../kernels/verify/buffer_reader.ts";
import { listRef } from "../../kernels/verify/list_ref.ts";
import type { Selector } from "./selector.ts";

/** A sparse step over buffers that hold a context's keys, values and codes. */
export interface DeviceStep {
  readonly device: GPUDevice;
  readonly problem: Problem;
  readonly buffers: Readonly<Record<string, GPUBuffer>>;
  readonly record: RecordPass;
}

/** The results of a step at every query. */
export interface StepOutcome {
  /** [queries, query heads, headDim]. */
  readonly out: Float32Array;
  /** A distance per token, for each query and list. */
  readonly distances: readonly (readonly ArrayLike<number>[])[];
}

/**
 * Runs a step at every query of a context.
 *
 * @param onProgress Called before each query with the share that is done.
 */
export async function runQueries(
  context: TraceContext,
  { device, problem, buffers, record }: DeviceStep,
  onProgress: (fraction: number) => void = () => {},
): Promise<StepOutcome> {
  const { headDim, queryHeads, positions } = context;
  const reader = new BufferReader(problem, {}, readerOf(device, buffers));
  const size = queryHeads * headDim;
  const out = new Float32Array(positions.length * size);
  const distances: ArrayLike<number>[][] = [];
  for (const [query, position] of positions.entries()) {
    onProgress(query / positions.length);
    write(device, buffers.lengths, Uint32Array.of(position + 1));
    write(device, buffers.q, queriesAt(context, query));
    submit(device, record);
    const lists = Array.from(
      { length: listHeads(problem) },
      (_, list) => reader.distances(listRef(problem, 0, list, position + 1)),
    );
    distances.push(await Promise.all(lists));
    out.set(await reader.f32("out", 0, size), query * size);
  }
  return { out, distances };
}

/** One query of every head: f32 [heads, headDim]. */
export function queriesAt(context: TraceContext, query: number): Float32Array<ArrayBuffer> {
  const { headDim, queryHeads, positions, q } = context;
  const rows = new Float32Array(queryHeads * headDim);
  for (let head = 0; head < queryHeads; head++) {
    const from = (head * positions.length + query) * headDim;
    rows.set(q.subarray(from, from + headDim), head * headDim);
  }
  return rows;
}

/**
 * The selector of steps that have run.
 *
 * @param outcomes The results of the step at each budget. Not every step writes its list of tokens,
 * but all select by their distances, which are the same at every budget.
 */
export function outcomeSelector(
  { headDim, queryHeads }: TraceContext,
  problem: Problem,
  outcomes: readonly StepOutcome[],
): Selector {
  const [{ distances }] = outcomes;
  return {
    // The factor of a rotated key is a byte beside its code.
    bitsPerToken: (problem.bits + (isRotated(problem) ? 8 : 0)) * codeHeads(problem),
    ties: tiesOf(problem),
    costs: ({ head, query }) => distances[query][Math.floor(head / queriesPerList(problem))],
    output({ head, query }, budget) {
      const start = (query * queryHeads + head) * headDim;
      return outcomes[budget].out.subarray(start, start + headDim);
    },
  };
}
