/**
 * HashAttention on WebGPU: sparse decode attention that selects the tokens to attend by the distance
 * of short codes, and dense baselines. They are WGSL kernels that need only web APIs.
 *
 * A {@linkcode Decoder} is the interface for inference engines. It holds pipelines and buffers for
 * one {@linkcode Problem} (shapes, dtypes, selection rule) on one device, and records whole decode
 * steps into the engine's own compute passes. The lengths of the sequences lie on the GPU, so a
 * decode loop waits for nothing and makes no bind groups:
 *
 * ```ts
 * import {
 *   createDecoder,
 *   type DecoderProblem,
 *   requestDecoderDevice,
 *   roundCapacity,
 * } from "@hashattention/bench";
 *
 * const problem: DecoderProblem = {
 *   batch: 1,
 *   qHeads: 8,
 *   kvHeads: 2,
 *   headDim: 64,
 *   kvLen: 200, // for byte counts and checks; a decoder reads the GPU buffer `lengths` instead
 *   capacity: roundCapacity(200),
 *   dtype: "f32",
 *   topK: { sparsity: 8 }, // attend an eighth of the tokens,
 *   sink: 4, // the first 4
 *   recent: 16, // and the last 16
 * };
 *
 * const adapter = await navigator.gpu.requestAdapter({ powerPreference: "high-performance" });
 * if (!adapter) throw new Error("this machine has no WebGPU adapter");
 * // A device from requestDevice() alone has no subgroups and low limits: only the slowest pipeline
 * // would run.
 * const device = await requestDecoderDevice(adapter);
 * const decoder = await createDecoder(device, problem);
 * // Codes are rotated keys: nothing is trained. A problem with a `map` takes learned codes instead,
 * // from the buffers `query_map` and `key_map` (parseMap, packMap).
 * const { q, keys, values, lengths, out } = decoder.buffers;
 *
 * // In place of a model: writes the newest token's query, key and value (rows [Hkv, token]).
 * const row = (): Float32Array<ArrayBuffer> =>
 *   Float32Array.from({ length: problem.headDim }, () => Math.random() - 0.5);
 * function writeToken(token: number): void {
 *   for (let head = 0; head < problem.kvHeads; head++) {
 *     const offset = 4 * problem.headDim * (head * problem.capacity + token);
 *     device.queue.writeBuffer(keys, offset, row());
 *     device.queue.writeBuffer(values, offset, row().fill(token));
 *   }
 *   for (let head = 0; head < problem.qHeads; head++) {
 *     device.queue.writeBuffer(q, 4 * problem.headDim * head, row());
 *   }
 * }
 *
 * function submit(record: (pass: GPUComputePassEncoder) => void): void {
 *   const encoder = device.createCommandEncoder();
 *   const pass = encoder.beginComputePass();
 *   record(pass);
 *   pass.end();
 *   device.queue.submit([encoder.finish()]);
 * }
 *
 * // A prompt of 150 tokens is encoded once.
 * for (let token = 0; token < 150; token++) writeToken(token);
 * device.queue.writeBuffer(lengths, 0, Uint32Array.of(150));
 * submit(decoder.recordPrompt);
 *
 * // Then each new token needs one step, which writes the attention's output to `out`.
 * for (let length = 151; length <= 200; length++) {
 *   writeToken(length - 1);
 *   device.queue.writeBuffer(lengths, 0, Uint32Array.of(length));
 *   submit(decoder.recordStep);
 * }
 *
 * const size = 4 * problem.headDim;
 * const staging = device.createBuffer({
 *   size,
 *   usage: GPUBufferUsage.COPY_DST | GPUBufferUsage.MAP_READ,
 * });
 * const encoder = device.createCommandEncoder();
 * encoder.copyBufferToBuffer(out, 0, staging, 0, size);
 * device.queue.submit([encoder.finish()]);
 * await staging.mapAsync(GPUMapMode.READ);
 * const [mean] = new Float32Array(staging.getMappedRange());
 * // Here the values are token numbers, so the output of head 0 is the mean number of the attended
 * // tokens: the sink, the last 16, and 25 between them.
 * if (!(mean > 0 && mean < 199)) throw new Error(`the mean of tokens 0 to 199 came out as ${mean}`);
 * console.log(`head 0 attends token ${mean.toFixed(1)} on average`);
 * decoder.destroy();
 * device.destroy();
 * ```
 *
 * Names may be parts of the caller's buffers ({@linkcode CallersBuffers}), a prompt may come in chunks
 * ({@linkcode Decoder.recordPrompt}), and the decoders of a model's layers share scratch
 * ({@linkcode DecoderScratch}).
 *
 * A decoder checks its device before it uses the fastest kernels. {@linkcode checkDevice} gives the
 * result of the check, and {@linkcode readHandOver} gives the fastest {@linkcode HandOver} that is
 * known to be safe.
 *
 * `@hashattention/bench/kernels` exports the single kernels that a decoder consists of.
 *
 * @module
 */
export { checkDevice, type CheckedDevice, readHandOver } from "./kernels/check/device_check.ts";
export { limitsOf } from "./kernels/core/device_limits.ts";
export { NO_SINK_LOGIT } from "./kernels/core/layout.ts";
export { checkProblem } from "./kernels/core/problem/check_problem.ts";
export { kvStridesFor } from "./kernels/core/problem/cache_layout.ts";
export {
  type Bins,
  type CodeSharing,
  type KvDtype,
  type KvLayout,
  type KvPages,
  type KvStrides,
  type MapShape,
  type Problem,
  ROTATION,
  type TieRule,
  type TopK,
} from "./kernels/core/problem/problem.ts";
export { roundCapacity } from "./kernels/core/problem/derived.ts";
export { type BufferOrPart, CompileError } from "./kernels/core/run/program.ts";
export type { TunedEntry, TunedProblem, Tuning } from "./kernels/core/tuning.ts";
export type { DeviceLimits, HandOver, SubgroupMatrices, Variant } from "./kernels/core/variant.ts";
export type { Params } from "./kernels/core/problem/constants.ts";
export {
  createDecoder,
  createDecoderOf,
  type Decoder,
  type DecoderOptions,
} from "./kernels/decoder/decoder.ts";
export type { CallersBuffers, DecoderBufferName } from "./kernels/decoder/decoder_buffers.ts";
export type { PlanChoice } from "./kernels/decoder/decoder_plan.ts";
export { DecoderScratch } from "./kernels/decoder/decoder_scratch.ts";
export type { DecoderProblem } from "./kernels/decoder/decoder_problem.ts";
export {
  DECODER_FEATURES,
  decoderDeviceDescriptor,
  requestDecoderDevice,
} from "./kernels/decoder/request_device.ts";
export type { MapLayer } from "./kernels/encode/reference.ts";
export {
  type LearnedMap,
  type LearnedMapShape,
  type PackedMap,
  packMap,
} from "./kernels/maps/learned_map.ts";
export { parseMap, type ParseMapOptions } from "./kernels/maps/map_file.ts";
export { randomProjection } from "./kernels/maps/random_projection.ts";
export { InvalidFileError } from "./kernels/maps/safetensors.ts";
