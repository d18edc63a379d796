/** ONNX Runtime Web in Deno: one attention node whose cache lies in the caller's GPU buffers. */
import type * as OnnxRuntime from "onnxruntime-web/jspi";
import { groupQueryAttentionModel, type Shape } from "./model.ts";

/** The GPU buffers of an attention layer, all f16. */
export interface LayerBuffers {
  /** The newest token's query [Hq, D], key [Hkv, D] and value [Hkv, D]. */
  readonly query: GPUBuffer;
  readonly key: GPUBuffer;
  readonly value: GPUBuffer;
  /** The cache, [Hkv, capacity, D] each. */
  readonly keys: GPUBuffer;
  readonly values: GPUBuffer;
  /** The attention [Hq, D]. */
  readonly output: GPUBuffer;
}

/** A session of one GroupQueryAttention node. */
export interface RuntimeLayer {
  readonly version: string;
  /** Writes the newest token's row into the cache and attends: submits the work and returns. */
  step(): Promise<void>;
  release(): Promise<void>;
}

/**
 * Makes the session on the caller's device.
 *
 * @param length Tokens of the cache, the newest one included.
 */
export async function createRuntimeLayer(
  device: GPUDevice,
  shape: Shape,
  length: number,
  capacity: number,
  buffers: LayerBuffers,
): Promise<RuntimeLayer> {
  const runtime = await loadRuntime();
  const session = await runtime.InferenceSession.create(groupQueryAttentionModel(shape), {
    executionProviders: [
      { name: "webgpu", device } as OnnxRuntime.InferenceSession.WebGpuExecutionProviderOption,
    ],
    preferredOutputLocation: "gpu-buffer",
  });
  const { qHeads, kvHeads, headDim } = shape;
  const tensor = (buffer: GPUBuffer, dims: readonly number[]) =>
    runtime.Tensor.fromGpuBuffer(buffer, { dataType: "float16", dims });
  const int32 = (number: number) => new runtime.Tensor("int32", Int32Array.of(number), [1]);
  const keys = tensor(buffers.keys, [1, kvHeads, capacity, headDim]);
  const values = tensor(buffers.values, [1, kvHeads, capacity, headDim]);
  const inputs = {
    query: tensor(buffers.query, [1, 1, qHeads * headDim]),
    key: tensor(buffers.key, [1, 1, kvHeads * headDim]),
    value: tensor(buffers.value, [1, 1, kvHeads * headDim]),
    past_key: keys,
    past_value: values,
    seqlens_k: int32(length - 1),
    total_sequence_length: int32(length),
  };
  // Past and present are the same buffers, so that a step writes one row instead of a new cache.
  const outputs = {
    output: tensor(buffers.output, [1, 1, qHeads * headDim]),
    present_key: keys,
    present_value: values,
  };
  return {
    version: runtime.env.versions.web ?? runtime.env.versions.common,
    async step() {
      await session.run(inputs, outputs);
    },
    release: () => session.release(),
  };
}

/** Loads the build whose WebAssembly waits for the GPU by itself (JSPI). */
async function loadRuntime(): Promise<typeof OnnxRuntime> {
  // Its loader takes Deno for Node, and then wants Node's worker threads. It leaves a renderer
  // process alone.
  Object.assign((globalThis as unknown as { process: object }).process, { type: "renderer" });
  const runtime = await import("onnxruntime-web/jspi");
  const wasm = import.meta.resolve("onnxruntime-web/ort-wasm-simd-threaded.jspi.wasm");
  runtime.env.wasm.wasmBinary = (await Deno.readFile(new URL(wasm))).buffer;
  runtime.env.wasm.numThreads = 1;
  runtime.env.logLevel = "error";
  return runtime;
}

/**
 * Lets shaders of this device say `enable subgroups;`, as the standard demands. Deno's compiler
 * refuses the line, and takes the functions without it.
 */
export function acceptSubgroups(device: GPUDevice): void {
  const create = device.createShaderModule.bind(device);
  device.createShaderModule = (module) =>
    create({ ...module, code: module.code.replace(/^enable subgroups;/m, "") });
}
