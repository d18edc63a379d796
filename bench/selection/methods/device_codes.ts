/** Runs the WGSL pipeline on every query of a trace, with learned or rotated codes. */
import type { TraceContext } from "../../../fixtures/trace.ts";
import { type LearnedMap, type PackedMap, packMap } from "../../../kernels/maps/learned_map.ts";
import { createDecoder, type Decoder } from "../../../kernels/decoder/decoder.ts";
import { checkShape } from "../../../kernels/core/problem/check_problem.ts";
import { isRotated, roundCapacity } from "../../../kernels/core/problem/derived.ts";
import type { Problem, TopK } from "../../../kernels/core/problem/problem.ts";
import { SHAPE_WORDS } from "../../cases/case_options.ts";
import { submit, write } from "../../../kernels/core/run/run.ts";
import { outcomeSelector, runQueries, type StepOutcome } from "../device_steps.ts";
import type { Code } from "../codes.ts";
import type { EdgeWindows, Selector } from "../selector.ts";

/** Settings of the pipeline. */
export interface DeviceRun {
  readonly device: GPUDevice;
  readonly code: Code;
  /** The map of learned codes; null for rotated ones. */
  readonly map: LearnedMap | null;
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
export async function deviceSelector(context: TraceContext, run: DeviceRun): Promise<Selector> {
  const problem = contextProblem(context, run);
  const maps = run.map === null ? {} : packMap(run.map, problem);
  const outcomes = new Map<string, StepOutcome>();
  const distinct = new Map(run.budgets.map((topK) => [JSON.stringify(topK), topK]));
  const options = run.variant ? { variant: run.variant } : {};
  const decoders: Decoder[] = [];
  try {
    for (const [i, [budget, topK]] of [...distinct].entries()) {
      const each = { ...problem, topK };
      const shared = { buffers: sharedBuffers(decoders[0]) };
      decoders.push(await createDecoder(run.device, each, { ...options, ...shared }));
      if (i === 0) writePrompt(context, maps, run.device, decoders[0]);
      const onProgress = (fraction: number) => run.onProgress?.((i + fraction) / distinct.size);
      const { buffers, recordPrompt, recordStep } = decoders[i];
      const record = (pass: GPUComputePassEncoder) => {
        // The scale of rotated codes' scores depends on the length, which differs from query to query.
        if (isRotated(problem)) recordPrompt(pass);
        recordStep(pass);
      };
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
 * The problem of a context and a code, without a budget.
 *
 * @throws {RangeError} for a shape that the kernels do not support.
 */
export function contextProblem(
  context: TraceContext,
  { code, windows }: Pick<DeviceRun, "code" | "windows">,
): Problem {
  const { queryHeads, headDim, kvLen } = context;
  const problem: Problem = {
    batch: 1,
    qHeads: queryHeads,
    kvHeads: 1,
    headDim,
    kvLen,
    capacity: roundCapacity(kvLen),
    dtype: "f32",
    ...code,
    topK: { count: 0 },
    ...windows,
  };
  checkShape(problem, SHAPE_WORDS);
  return problem;
}

/** Buffers that the runs share, so that the prompt is encoded once. */
const SHARED = [
  "keys",
  "values",
  "codes",
  "factors",
  "key_stats",
  "query_map",
  "key_map",
  "lengths",
  "q",
] as const;

function sharedBuffers(decoder: Decoder | undefined): Record<string, GPUBuffer> {
  if (decoder === undefined) return {};
  const { buffers } = decoder;
  return Object.fromEntries(
    SHARED.filter((name) => name in buffers).map((name) => [name, buffers[name]]),
  );
}

function writePrompt(
  { k, v, kvLen }: TraceContext,
  maps: Partial<PackedMap>,
  device: GPUDevice,
  { buffers, recordPrompt }: Decoder,
): void {
  write(device, buffers.keys, k);
  if (v !== null) write(device, buffers.values, v);
  for (const [name, numbers] of Object.entries(maps)) write(device, buffers[name], numbers);
  write(device, buffers.lengths, Uint32Array.of(kvLen));
  submit(device, recordPrompt);
}
