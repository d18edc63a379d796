/** One layer's attention by ONNX Runtime Web and by decoders, over the same buffers. */
import {
  createDecoder,
  type Decoder,
  DECODER_FEATURES,
  type DecoderProblem,
  readHandOver,
  requestDecoderDevice,
  roundCapacity,
} from "@hashattention/bench";
import { type Inputs, makeInputs } from "./inputs.ts";
import { type Options, Refusal } from "./options.ts";
import { readBuffer, type RunClock, runClockOf, type Work } from "./run_clock.ts";
import { acceptSubgroups, createRuntimeLayer } from "./runtime.ts";

/** Most that the step over all tokens may differ from ONNX Runtime's f16 output (relative L2). */
export const TOLERANCE = 2e-3;

/** Milliseconds of work before the first time counts: an idle GPU has a low clock. */
const WARM_UP_MS = 500;

/** Names of steps. */
const RUNTIME = "ONNX Runtime Web, GroupQueryAttention";
const EVERY_TOKEN = "decoder, sparsity 1";

/** Tokens that the sparse step attends beside the selected ones. */
const WINDOWS = { sink: 128, recent: 128 };

/** A step, its distance from ONNX Runtime's output, and its time. */
export interface Row {
  readonly name: string;
  /** Relative L2 distance. */
  readonly distance: number;
  readonly medianUs: number;
}

/** A device that serves both. */
export interface Client {
  readonly device: GPUDevice;
  readonly adapter: string;
  /** Whether the adapter is a program on the CPU, whose times say nothing about a GPU. */
  readonly software: boolean;
  readonly clock: RunClock;
  /** What the device complained about, whoever caused it. */
  readonly errors: readonly string[];
}

/**
 * Opens the device.
 *
 * @throws {Refusal} if there is no adapter or it has no f16.
 */
export async function openClient(): Promise<Client> {
  const adapter = await navigator.gpu?.requestAdapter({ powerPreference: "high-performance" });
  if (!adapter) throw new Refusal("This machine has no WebGPU adapter.");
  if (!adapter.features.has("shader-f16")) {
    throw new Refusal(
      `${adapter.info.description} has no shader-f16, which a cache of f16 needs in ONNX Runtime.`,
    );
  }
  const wanted = [...DECODER_FEATURES, "shader-f16", "timestamp-query"];
  const device = await requestDecoderDevice(adapter, wanted);
  const errors: string[] = [];
  device.addEventListener("uncapturederror", (event) => {
    errors.push((event as GPUUncapturedErrorEvent).error.message);
  });
  acceptSubgroups(device);
  const { description, isFallbackAdapter } = adapter.info;
  return {
    device,
    adapter: description,
    software: isFallbackAdapter,
    clock: await runClockOf(device),
    errors,
  };
}

/**
 * Attends over a cache of `length` tokens with every step, compares and times them.
 *
 * @throws {Error} if the step over all tokens differs from ONNX Runtime's output, or the device
 * complains.
 */
export async function measureLength(
  client: Client,
  options: Options,
  length: number,
): Promise<readonly Row[]> {
  const { device } = client;
  const capacity = roundCapacity(length);
  checkCacheFits(device, options, capacity);
  const inputs = makeInputs(device, options, length, capacity);
  const decoders = await createDecoders(device, options, length, inputs);
  const runtime = await createRuntimeLayer(device, options, length, capacity, inputs);
  try {
    const steps = new Map<string, Work>([[RUNTIME, runtime.step]]);
    for (const [name, { recordStep }] of decoders) {
      steps.set(name, () => submit(device, recordStep));
    }
    await runtime.step(); // writes the newest row, which a decoder's step reads from the cache
    for (const { recordPrompt } of decoders.values()) submit(device, recordPrompt);
    for (const work of steps.values()) await work();
    const distances = await distancesOf(device, inputs, decoders);
    checkAgreement(distances, length);
    const times = await timeInTurns(client, steps, options.rounds);
    if (client.errors.length > 0) throw new Error(client.errors[0]);
    return Array.from(steps.keys(), (name) => ({
      name,
      distance: distances.get(name) ?? 0,
      medianUs: times.get(name)!,
    }));
  } finally {
    await runtime.release();
    for (const decoder of decoders.values()) decoder.destroy();
    for (const buffer of Object.values(inputs)) buffer.destroy();
  }
}

/** @throws {Refusal} before a buffer is made. */
function checkCacheFits(
  { limits }: GPUDevice,
  { kvHeads, headDim }: Options,
  capacity: number,
): void {
  const bytes = 2 * kvHeads * capacity * headDim;
  const most = Math.min(limits.maxStorageBufferBindingSize, limits.maxBufferSize);
  if (bytes > most) {
    throw new Refusal(`Keys of ${bytes} bytes exceed the ${most} bytes that this device binds.`);
  }
}

/** The decoders by the names of their steps. They read the cache in ONNX Runtime's buffers. */
async function createDecoders(
  device: GPUDevice,
  { qHeads, kvHeads, headDim, sparsity }: Options,
  length: number,
  { query, keys, values, lengths }: Inputs,
): Promise<ReadonlyMap<string, Decoder>> {
  const problem: DecoderProblem = {
    batch: 1,
    qHeads,
    kvHeads,
    headDim,
    kvLen: length,
    capacity: roundCapacity(length),
    dtype: "f16",
    qDtype: "f16",
    outDtype: "f16",
    topK: { sparsity: 1 },
    sink: 0,
    recent: 0,
  };
  const sparse = { ...problem, topK: { sparsity }, ...WINDOWS };
  const dense = device.features.has("subgroups") ? "dense/split_subgroup" : "dense/split";
  // Deno's WebGPU compiles with naga, and runs on Vulkan under Linux.
  const handOver = readHandOver("naga", Deno.build.os === "linux" ? "vulkan" : "other");
  const shared = { buffers: { q: query, keys, values, lengths }, handOver };
  return new Map([
    [EVERY_TOKEN, await createDecoder(device, problem, shared)],
    [`decoder, ${dense}`, await createDecoder(device, problem, { ...shared, variant: dense })],
    [`decoder, sparsity ${sparsity} and windows`, await createDecoder(device, sparse, shared)],
  ]);
}

function submit(device: GPUDevice, record: (pass: GPUComputePassEncoder) => void): void {
  const encoder = device.createCommandEncoder();
  const pass = encoder.beginComputePass();
  record(pass);
  pass.end();
  device.queue.submit([encoder.finish()]);
}

/** How far each decoder's output is from ONNX Runtime's. */
async function distancesOf(
  device: GPUDevice,
  { output }: Inputs,
  decoders: ReadonlyMap<string, Decoder>,
): Promise<ReadonlyMap<string, number>> {
  const right = new Float16Array(await readBuffer(device, output, output.size));
  const distances = new Map<string, number>();
  for (const [name, { buffers: { out } }] of decoders) {
    const ours = new Float16Array(await readBuffer(device, out, out.size));
    distances.set(name, relativeDistance(ours, right));
  }
  return distances;
}

/** The L2 norm of the difference, divided by that of `right`. */
function relativeDistance(ours: Float16Array, right: Float16Array): number {
  let [difference, norm] = [0, 0];
  right.forEach((each, i) => {
    difference += (ours[i] - each) ** 2;
    norm += each ** 2;
  });
  return Math.sqrt(difference / norm);
}

function checkAgreement(distances: ReadonlyMap<string, number>, length: number): void {
  const distance = distances.get(EVERY_TOKEN)!;
  if (distance <= TOLERANCE) return; // not a number is not close
  throw new Error(
    `At ${length} tokens the step over all tokens differs from ONNX Runtime's output by ` +
      `${distance}, and at most ${TOLERANCE} is allowed.`,
  );
}

/** Medians of the steps, which take turns so that whatever changes with time changes for all. */
async function timeInTurns(
  { device, clock }: Client,
  steps: ReadonlyMap<string, Work>,
  rounds: number,
): Promise<ReadonlyMap<string, number>> {
  const began = performance.now();
  do {
    for (const work of steps.values()) await work();
    await device.queue.onSubmittedWorkDone();
  } while (performance.now() - began < WARM_UP_MS);
  for (let round = 0; round < rounds; round++) {
    for (const [name, work] of steps) await clock.time(name, work);
  }
  return new Map(Array.from(await clock.take(), ([name, times]) => [name, median(times)]));
}

function median(numbers: readonly number[]): number {
  const sorted = numbers.toSorted((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}
