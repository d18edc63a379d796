/** The method `learned`: runs the WGSL pipeline with a learned map on every query of a trace. */
import type { TraceContext } from "../../fixtures/trace.ts";
import { type LearnedMap, type PackedMap, packMap } from "../../kernels/maps/learned_map.ts";
import { createDecoder, type Decoder } from "../../kernels/decoder/decoder.ts";
import { checkShape, type Problem, roundCapacity, type TopK } from "../../kernels/core/problem.ts";
import { SHAPE_WORDS } from "../cases/case_options.ts";
import { submit, write } from "../../kernels/core/run.ts";
import { outcomeSelector, runQueries, type StepOutcome } from "../selection/device_steps.ts";
import type { EdgeWindows, Selector } from "../selection/selector.ts";

/** Settings of the pipeline. */
export interface LearnedRun {
  readonly device: GPUDevice;
  readonly map: LearnedMap;
  /** Numbers of middle tokens to select; each is a separate run. */
  readonly budgets: readonly TopK[];
  readonly windows: EdgeWindows;
  /** A pipeline variant (default: the best that the device can run). */
  readonly variant?: string;
  /** Called with the fraction of the work that is done. */
  onProgress?(fraction: number): void;
}

/**
 * Runs the pipeline on every query of the context, once for each budget. Keys and values go to the
 * device as f32, which represents every dtype of a trace exactly, so that all methods see the same
 * numbers.
 *
 * @throws {RangeError} for a shape or map that the kernels do not support.
 */
export async function learnedSelector(context: TraceContext, run: LearnedRun): Promise<Selector> {
  const problem = learnedProblem(context, run);
  const packed = packMap(run.map, problem);
  const outcomes = new Map<string, StepOutcome>();
  const distinct = new Map(run.budgets.map((topK) => [JSON.stringify(topK), topK]));
  const options = run.variant ? { variant: run.variant } : {};
  const decoders: Decoder[] = [];
  try {
    for (const [i, [budget, topK]] of [...distinct].entries()) {
      const each = { ...problem, topK };
      const shared = { buffers: sharedBuffers(decoders[0]) };
      decoders.push(await createDecoder(run.device, each, { ...options, ...shared }));
      if (i === 0) writePrompt(context, packed, run.device, decoders[0]);
      const onProgress = (fraction: number) => run.onProgress?.((i + fraction) / distinct.size);
      const { buffers, recordStep: record } = decoders[i];
      const step = { device: run.device, problem: each, buffers, record };
      outcomes.set(budget, await runQueries(context, step, onProgress));
    }
  } finally {
    for (const decoder of decoders.toReversed()) decoder.destroy();
  }
  const byBudget = run.budgets.map((topK) => outcomes.get(JSON.stringify(topK))!);
  return { ...outcomeSelector(context, problem, byBudget), variant: decoders[0].variant };
}

/**
 * The problem of a context and a map, without a budget.
 *
 * @throws {RangeError} for a shape that the kernels do not support.
 */
export function learnedProblem(
  context: TraceContext,
  { map, windows }: Pick<LearnedRun, "map" | "windows">,
): Problem {
  const { queryHeads, headDim, kvLen } = context;
  const { bits, sharing, map: layers } = map.shape;
  const problem: Problem = {
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
    topK: { count: 0 },
    ...windows,
  };
  checkShape(problem, SHAPE_WORDS);
  return problem;
}

/** Buffers that the runs share, so that the prompt is encoded once. */
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
  write(device, buffers.keys, k);
  if (v !== null) write(device, buffers.values, v);
  write(device, buffers.query_map, query_map);
  write(device, buffers.key_map, key_map);
  write(device, buffers.lengths, Uint32Array.of(kvLen));
  submit(device, recordPrompt);
}
