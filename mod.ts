/**
 * HashAttention on WebGPU: sparse decode attention that picks the tokens to attend by the Hamming
 * distance of short codes, next to dense baselines, as WGSL kernels over web APIs alone.
 *
 * A {@linkcode Decoder} is what an inference engine needs. It holds pipelines and buffers for one
 * {@linkcode Problem} (shapes, dtypes, selection rule) on one device and records whole decode steps
 * into the engine's own compute passes. The lengths of the sequences lie on the GPU, so a decode loop
 * waits for nothing and makes no bind groups:
 *
 * ```ts
 * import {
 *   createDecoder,
 *   type Problem,
 *   randomProjection,
 *   requestDecoderDevice,
 *   roundCapacity,
 * } from "@hashattention/bench";
 *
 * const problem: Problem = {
 *   batch: 1,
 *   qHeads: 8,
 *   kvHeads: 2,
 *   headDim: 64,
 *   kvLen: 200, // of byte counts and checks; a decoder goes by the GPU buffer `lengths`
 *   capacity: roundCapacity(200),
 *   dtype: "f32",
 *   bits: 32,
 *   sharing: "head",
 *   map: { layers: 1, hidden: 128, dtype: "f16" },
 *   topK: { sparsity: 8 }, // an eighth of the tokens, beside
 *   sink: 4, // the first 4
 *   recent: 16, // and the last 16
 * };
 *
 * const adapter = await navigator.gpu.requestAdapter({ powerPreference: "high-performance" });
 * if (!adapter) throw new Error("this machine has no WebGPU adapter");
 * // A bare requestDevice() has no subgroups and low limits: only the slowest pipeline runs there.
 * const device = await requestDecoderDevice(adapter);
 * const decoder = await createDecoder(device, problem);
 * const { q, keys, values, lengths, query_map, key_map, out } = decoder.buffers;
 *
 * // Any map to codes will do; a learned one (parseMap, packMap) selects better than this.
 * const map = randomProjection(problem, 1);
 * device.queue.writeBuffer(query_map, 0, map);
 * device.queue.writeBuffer(key_map, 0, map);
 *
 * // Stands for the model: writes the newest token's key and value (rows [Hkv, token]) and the query.
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
 * // A prompt of 150 tokens is encoded once,
 * for (let token = 0; token < 150; token++) writeToken(token);
 * device.queue.writeBuffer(lengths, 0, Uint32Array.of(150));
 * submit(decoder.recordPrompt);
 *
 * // then each new token takes one step, which leaves the attention's output in `out`.
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
 * // Values count the tokens here, so the output of head 0 is the mean token attended: of the sink,
 * // the last 16 and 25 from between.
 * if (!(mean > 0 && mean < 199)) throw new Error(`the mean of tokens 0 to 199 came out as ${mean}`);
 * console.log(`head 0 attends token ${mean.toFixed(1)} on average`);
 * decoder.destroy();
 * device.destroy();
 * ```
 *
 * A decoder tries its device before it relies on it. {@linkcode checkDevice} tells what came of that,
 * and {@linkcode readHandOver} which {@linkcode HandOver} is known to be safe beyond the default.
 *
 * Beneath it, {@linkcode VARIANTS} lists every kernel as a {@linkcode Variant}, whose plan for a
 * problem {@linkcode compilePlan}, {@linkcode bindProgram} and {@linkcode recordProgram} run; the
 * `...Reference` functions say in f64 what each stage must compute.
 *
 * @module
 */
export { attendReference, type RowOf } from "./kernels/attend/reference.ts";
export { checkDevice, type CheckedDevice, readHandOver } from "./kernels/check/device_check.ts";
export {
  addCost,
  type Binding,
  type BufferRole,
  type BufferSpec,
  type Cost,
  costBytes,
  type DeviceLimits,
  type Dispatch,
  type HandOver,
  type Kernel,
  type ParamRange,
  type Params,
  type Plan,
  type Stage,
  type Variant,
} from "./kernels/core/variant.ts";
export { denseReference } from "./kernels/dense/reference.ts";
export {
  joinMapHeads,
  type LearnedMap,
  type LearnedMapShape,
  mapHeadLayers,
  type MapNumbers,
  type PackedMap,
  packMap,
  takeMapHeads,
} from "./kernels/maps/learned_map.ts";
export { parseMap, type ParseMapOptions, writeMap } from "./kernels/maps/map_file.ts";
export { randomProjection } from "./kernels/maps/random_projection.ts";
export {
  encodeErrorBound,
  encodeReference,
  type MapLayer,
  packBits,
} from "./kernels/encode/reference.ts";
export {
  bufferBytes,
  DTYPE_CODE,
  histogramSpec,
  NO_SINK_LOGIT,
  partialSpecs,
  PROBLEM_RANGES,
  problemParams,
} from "./kernels/core/layout.ts";
export { HAND_OVER_CODE, handOverOf } from "./kernels/merge/hand_over.ts";
export { mergeReference } from "./kernels/merge/reference.ts";
export type { CallersBuffers, DecoderBufferName } from "./kernels/decoder/decoder_buffers.ts";
export { createDecoder, type Decoder, type DecoderOptions } from "./kernels/decoder/decoder.ts";
export type { PlanChoice } from "./kernels/decoder/decoder_plan.ts";
export { limitsOf } from "./kernels/core/device_limits.ts";
export {
  DECODER_FEATURES,
  decoderDeviceDescriptor,
  requestDecoderDevice,
} from "./kernels/decoder/request_device.ts";
export {
  cachedTokens,
  checkProblem,
  codeHeads,
  type CodeSharing,
  codeWords,
  distanceBytes,
  groupSize,
  kvBytes,
  type KvDtype,
  lengthOf,
  listCapacity,
  mapLayers,
  mapNumbers,
  type MapShape,
  maxDistance,
  overSequences,
  type Problem,
  queriesPerList,
  roundCapacity,
  shapeName,
  type TopK,
  type Windows,
  windowsOf,
} from "./kernels/core/problem.ts";
export {
  allocate,
  bindProgram,
  type BoundProgram,
  bufferUsage,
  checkFits,
  CompileError,
  type CompileOptions,
  compilePlan,
  dispatchWgsl,
  type Program,
  type ProgramStep,
  recordProgram,
} from "./kernels/core/program.ts";
export { findVariant, VARIANTS } from "./kernels/core/registry.ts";
export { InvalidFileError } from "./kernels/maps/safetensors.ts";
export { histogramReference, scoreReference } from "./kernels/score/reference.ts";
export { selectReference } from "./kernels/select/reference.ts";
export {
  type TunedChoice,
  type TunedEntry,
  tunedParams,
  type TunedProblem,
  tunedProblem,
  type Tuning,
  tuningChecksum,
  type TuningKey,
} from "./kernels/core/tuning.ts";
export {
  type Dialect,
  FEATURE_EXTENSIONS,
  paramDefaults,
  specialize,
  type SpecializeOptions,
  STANDARD_DIALECT,
} from "./kernels/core/wgsl.ts";
export { type Compiler, compilerOf, dialectOf } from "./kernels/core/wgsl_compiler.ts";
