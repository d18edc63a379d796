/**
 * The single kernels that a decoder consists of. They need only web APIs.
 *
 * {@linkcode VARIANTS} lists every {@linkcode Variant}, which is one way to do a stage: encode,
 * score, select, attend, merge, a whole pipeline, or the dense baselines of decode and prefill;
 * {@linkcode RIVALS} are steps of other systems and their stages. A variant's plan for a
 * {@linkcode Problem} names buffers and dispatches; {@linkcode planOn} gives it for a device.
 * {@linkcode compilePlan}, {@linkcode bindProgram} and {@linkcode recordProgram} run it. The
 * `...Reference` functions
 * compute each stage in f64.
 *
 * ```ts
 * import { requestDecoderDevice } from "@hashattention/bench";
 * import {
 *   allocate,
 *   bindProgram,
 *   compilePlan,
 *   findVariant,
 *   limitsOf,
 *   planOn,
 *   type Problem,
 *   recordProgram,
 * } from "@hashattention/bench/kernels";
 *
 * const problem: Problem = {
 *   batch: 1,
 *   qHeads: 8,
 *   kvHeads: 2,
 *   headDim: 64,
 *   kvLen: 200,
 *   capacity: 256,
 *   dtype: "f16",
 *   bits: 32,
 *   sharing: "head",
 *   map: { layers: 1, hidden: 128, dtype: "f16" },
 *   topK: { sparsity: 8 },
 *   sink: 4,
 *   recent: 16,
 * };
 *
 * const adapter = await navigator.gpu.requestAdapter();
 * if (!adapter) throw new Error("this machine has no WebGPU adapter");
 * const device = await requestDecoderDevice(adapter);
 * const variant = findVariant("score/hamming");
 * const limits = limitsOf(device);
 * const plan = planOn(variant, problem, variant.defaults(problem, limits), limits);
 * const buffers = allocate(device, plan.buffers); // codes, query_codes, lengths, distances, ...
 * const program = bindProgram(device, await compilePlan(device, plan), buffers);
 *
 * const encoder = device.createCommandEncoder();
 * const pass = encoder.beginComputePass();
 * recordProgram(pass, program);
 * pass.end();
 * device.queue.submit([encoder.finish()]);
 * device.destroy();
 * ```
 *
 * @module
 */
export { attendReference, type RowOf } from "./attend/reference.ts";
export { checkDevice, type CheckedDevice, readHandOver } from "./check/device_check.ts";
export {
  addCost,
  type BufferPart,
  type BufferRole,
  type BufferSpec,
  type Cost,
  costBytes,
  type DeviceLimits,
  type Dispatch,
  type HandOver,
  type Kernel,
  type Plan,
  type Precision,
  type Stage,
  type Variant,
} from "./core/variant.ts";
export { type Binding } from "./core/wgsl/wgsl_facts.ts";
export { type ParamRange, type Params } from "./core/problem/constants.ts";
export { denseReference } from "./dense/reference.ts";
export {
  joinMapHeads,
  type LearnedMap,
  type LearnedMapShape,
  mapHeadLayers,
  type MapNumbers,
  type PackedMap,
  packMap,
  takeMapHeads,
} from "./maps/learned_map.ts";
export { parseMap, type ParseMapOptions, writeMap } from "./maps/map_file.ts";
export { randomProjection } from "./maps/random_projection.ts";
export {
  encodeErrorBound,
  encodeReference,
  magnitudeOf,
  magnitudeUnits,
  type MapLayer,
  packBits,
  PLANE_CLIPS,
} from "./encode/reference.ts";
export { type PackedLabel, packLabel, unpackLabel } from "./encode/labels_reference.ts";
export { pageBoundsReference } from "./encode/page_bounds_reference.ts";
export {
  LABEL_CHANNELS,
  LABEL_FORMS,
  type LabelForm,
  labelHeads,
  PACKED_LABELS,
} from "./core/problem/labels.ts";
export {
  PAGE_TOKENS,
  pageCapacity,
  pageListCapacity,
  pageListTokens,
  pagesOf,
  pageWindowsOf,
  tokensOfPages,
} from "./core/problem/pages.ts";
export {
  factorByte,
  factorValue,
  keyFactor,
  rotate,
  rotationSign,
  rotationWidth,
} from "./encode/rotation.ts";
export { bufferBytes, histogramSpec, NO_SINK_LOGIT, partialSpecs } from "./core/layout.ts";
export { DTYPE_CODE, PROBLEM_RANGES, problemParams } from "./core/problem/constants.ts";
export { HAND_OVER_CODE, handOverOf } from "./merge/hand_over.ts";
export { mergeReference } from "./merge/reference.ts";
export type { CallersBuffers, DecoderBufferName } from "./decoder/decoder_buffers.ts";
export {
  createDecoder,
  createDecoderOf,
  type Decoder,
  type DecoderOptions,
} from "./decoder/decoder.ts";
export type { PlanChoice } from "./decoder/decoder_plan.ts";
export { DecoderScratch } from "./decoder/decoder_scratch.ts";
export type { DecoderProblem } from "./decoder/decoder_problem.ts";
export { limitsOf } from "./core/device_limits.ts";
export { MATRIX_FEATURES, subgroupMatricesOf } from "./core/subgroup_matrices.ts";
export { type SubgroupMatrices } from "./core/variant.ts";
export {
  DECODER_FEATURES,
  decoderDeviceDescriptor,
  requestDecoderDevice,
} from "./decoder/request_device.ts";
export { checkProblem } from "./core/problem/check_problem.ts";
export { type Pieces, piecesOf, planOn } from "./core/pieces.ts";
export { kvLayoutOf, kvRowStart, kvStridesFor, kvStridesOf } from "./core/problem/cache_layout.ts";
export {
  type Bins,
  type CodeSharing,
  DEFAULT_BINS,
  type KvDtype,
  type KvLayout,
  type KvPages,
  type KvStrides,
  type MapShape,
  type Problem,
  ROTATED_CODE,
  ROTATION,
  type TieRule,
  type TopK,
} from "./core/problem/problem.ts";
export {
  binsOf,
  cachedTokens,
  centresKeys,
  codeHeads,
  codeWords,
  distanceBytes,
  groupSize,
  isRotated,
  kvBytes,
  lengthOf,
  listCapacity,
  listHeads,
  mapLayers,
  mapNumbers,
  maxDistance,
  overSequences,
  planesOf,
  queriesPerCode,
  queriesPerList,
  queryWords,
  rotationSeedOf,
  roundCapacity,
  shapeName,
  tiesOf,
  type Windows,
  windowsOf,
} from "./core/problem/derived.ts";
export {
  allocate,
  bindProgram,
  type BoundProgram,
  type BufferOrPart,
  bufferUsage,
  checkFits,
  CompileError,
  type CompileOptions,
  compilePlan,
  dispatchWgsl,
  type Program,
  type ProgramStep,
  recordProgram,
} from "./core/run/program.ts";
export { DECODER_VARIANTS, EVERY_VARIANT, findVariant, RIVALS, VARIANTS } from "./core/registry.ts";
export { InvalidFileError } from "./maps/safetensors.ts";
export {
  binnedDistance,
  type BinScale,
  packScale,
  scaleOf,
  unpackScale,
  weightedDistance,
} from "./score/bins.ts";
export {
  binnedScoreReference,
  dotReference,
  histogramReference,
  pagesReference,
  scoreReference,
  type Scores,
} from "./score/reference.ts";
export { selectReference, selectScoresReference } from "./select/reference.ts";
export {
  type TunedChoice,
  type TunedEntry,
  tunedParams,
  type TunedProblem,
  tunedProblem,
  type Tuning,
  tuningChecksum,
  type TuningKey,
} from "./core/tuning.ts";
export {
  type Dialect,
  FEATURE_EXTENSIONS,
  paramDefaults,
  specialize,
  type SpecializeOptions,
  STANDARD_DIALECT,
} from "./core/wgsl/wgsl.ts";
export { type Compiler, compilerOf, dialectOf } from "./core/wgsl/wgsl_compiler.ts";
// The single variants, by stage.
export { gather } from "./attend/gather.ts";
export { gatherMerge } from "./attend/gather_merge.ts";
export { gatherSubgroup } from "./attend/gather_subgroup.ts";
export { cascade } from "./dense/cascade.ts";
export { denseGptFast } from "./dense/gpt_fast.ts";
export { denseSplit } from "./dense/split.ts";
export { denseSplitMatrix } from "./dense/split_matrix.ts";
export { denseSplitScatter } from "./dense/split_scatter.ts";
export { denseSplitSubgroup } from "./dense/split_subgroup.ts";
export { denseTokenPool } from "./dense/token_pool.ts";
export { encodePrompt } from "./encode/prompt.ts";
export { rotatePrompt } from "./encode/rotate_prompt.ts";
export { rotateAppend, rotateQuery } from "./encode/rotate_token.ts";
export { encodeAppend, encodeQuery } from "./encode/token.ts";
export { merge } from "./merge/merge.ts";
export {
  rotatedFour,
  rotatedPortable,
  rotatedShort,
  rotatedThree,
  rotatedTwo,
  sharedFour,
  sharedPortable,
  sharedThree,
  sparseFour,
  sparsePortable,
  sparseSorted,
  sparseSubgroup,
  sparseThree,
  sparseTwo,
  sparseTwoGroup,
} from "./pipeline/sparse.ts";
export { flash } from "./prefill/flash.ts";
export { flashMatrix } from "./prefill/flash_matrix.ts";
export { dot } from "./score/dot.ts";
export { dotSubgroup } from "./score/dot_subgroup.ts";
export { hamming } from "./score/hamming.ts";
export { rotated } from "./score/rotated.ts";
export { rotatedShared } from "./score/rotated_shared.ts";
export { selectBitonic } from "./select/bitonic.ts";
export { counting } from "./select/counting.ts";
export { countingSubgroup } from "./select/counting_subgroup.ts";
export { radix, radixShares } from "./select/radix.ts";
