/** Test support: small traces whose attention a map can learn, and training runs on them. */
import { createRandom } from "../../fixtures/random.ts";
import type { TraceContext } from "../../fixtures/trace.ts";
import { type SafetensorsTensor, writeSafetensors } from "../../kernels/maps/safetensors.ts";
import type { TraceFile } from "./training/data/contexts.ts";
import { type FitOptions, parseFitOptions } from "./options.ts";
import { type FitRun, prepareRun } from "./run.ts";

const HEAD_DIM = 16;
const TOPICS = 12;

/**
 * A context of 2 heads. A key is the direction of its topic plus noise plus a large vector that all
 * keys share. A query looks for one topic, and each head weighs the dimensions differently.
 */
export function smallContext(seed: number, kvLen = 320, queries = 48): TraceContext {
  const shared = createRandom(7);
  const topics = Array.from(
    { length: TOPICS },
    () => Array.from({ length: HEAD_DIM }, () => shared.normal()),
  );
  const shift = Array.from({ length: HEAD_DIM }, () => 3 * shared.normal());
  const random = createRandom(seed);
  const k = Float32Array.from({ length: kvLen * HEAD_DIM });
  for (let token = 0; token < kvLen; token++) {
    const topic = topics[random.below(TOPICS)];
    for (let d = 0; d < HEAD_DIM; d++) {
      k[token * HEAD_DIM + d] = topic[d] + shift[d] + 0.3 * random.normal();
    }
  }
  const q = new Float32Array(2 * queries * HEAD_DIM);
  for (let row = 0; row < 2 * queries; row++) {
    const topic = topics[random.below(TOPICS)];
    const head = Math.floor(row / queries);
    for (let d = 0; d < HEAD_DIM; d++) {
      q[row * HEAD_DIM + d] = (d % 4 === head ? 0.5 : 1.5) * topic[d] + 0.2 * random.normal();
    }
  }
  const positions = Int32Array.from({ length: queries }, () => 64 + random.below(kvLen - 64));
  return { k, v: null, q, positions, headDim: HEAD_DIM, kvLen, queryHeads: 2 };
}

/** Three contexts, a, b and c. */
export function smallFile(): TraceFile {
  const contexts = ["a", "b", "c"].map((name, i) => ({ name, context: smallContext(i + 1) }));
  return { name: "small", contexts };
}

/** Flags for {@linkcode smallFile}: its windows, and no RoPE. */
export const SMALL_FLAGS = ["--sink", "8", "--recent", "8", "--rope-base", "none"] as const;

/** Options parsed from flags for {@linkcode smallFile}. */
function smallOptions(...flags: string[]): FitOptions {
  return parseFitOptions(["--trace", "small", "--out", "map", ...SMALL_FLAGS, ...flags]);
}

/** A run on {@linkcode smallFile}. */
export function smallRun(...flags: string[]): Promise<FitRun> {
  return prepareRun(smallOptions(...flags), [smallFile()]);
}

/** The bytes of {@linkcode smallFile}, with some tensors replaced, or left out where null. */
export function smallTraceBytes(
  changes: Readonly<Record<string, SafetensorsTensor | null>> = {},
): Uint8Array {
  const tensors = new Map<string, SafetensorsTensor>();
  for (const { name, context } of smallFile().contexts) {
    const { q, k, positions, kvLen } = context;
    const queries = positions.length;
    tensors.set(`${name}.q`, tensorOf("F32", [2, queries, HEAD_DIM], q));
    tensors.set(`${name}.k`, tensorOf("F32", [kvLen, HEAD_DIM], k));
    tensors.set(`${name}.pos`, tensorOf("I32", [queries], positions));
  }
  for (const [name, tensor] of Object.entries(changes)) {
    if (tensor === null) tensors.delete(name);
    else tensors.set(name, tensor);
  }
  return writeSafetensors(tensors);
}

/** A tensor with the bytes of the numbers. */
export function tensorOf(
  dtype: SafetensorsTensor["dtype"],
  shape: readonly number[],
  numbers: Float32Array | Int32Array,
): SafetensorsTensor {
  return { dtype, shape, data: new Uint8Array(numbers.buffer.slice(0)) };
}
