/**
 * The decoder is the interface for inference engines. It holds pipelines and buffers for one
 * problem on one device, and records whole decode steps into the engine's own compute passes.
 */
import { checkDevice, type CheckedDevice } from "../check/device_check.ts";
import type { DeviceLimits, Plan, Variant } from "../core/variant.ts";
import type { Params } from "../core/problem/constants.ts";
import { NO_SINK_LOGIT } from "../core/layout.ts";
import { checkProblem, onlyFields } from "../core/problem/check_problem.ts";
import type { Problem } from "../core/problem/problem.ts";
import { type DecoderProblem, withCode } from "./decoder_problem.ts";
import {
  allocate,
  bindingOf,
  bindProgram,
  type BoundProgram,
  compilePlan,
  recordProgram,
} from "../core/run/program.ts";
import { DECODER_VARIANTS } from "../core/registry.ts";
import { tunedParams, type Tuning } from "../core/tuning.ts";
import type { Dialect } from "../core/wgsl/wgsl.ts";
import {
  type CallersBuffers,
  checkCallersBuffers,
  checkMemory,
  isScratch,
} from "./decoder_buffers.ts";
import {
  type DecoderPlan,
  handOverOfChoice,
  type PlanChoice,
  planDecoderOf,
} from "./decoder_plan.ts";
import type { DecoderScratch } from "./decoder_scratch.ts";
import { limitsOf } from "../core/device_limits.ts";

/** Settings of {@linkcode createDecoder}. */
export interface DecoderOptions extends PlanChoice {
  /**
   * The caller's own buffers, or parts of them: `{ buffer, offset, size }`. Each has at least the
   * bytes of `bufferBytes` and the usage STORAGE, except `sink_logits`, which has UNIFORM. Where a
   * step runs in pieces, `key_stats` needs more.
   *
   * Names may be parts of one buffer. What the decoder writes (`codes`, `factors`, `key_stats`,
   * `out`) overlaps nothing, and no dispatch may read one part of a buffer and write another.
   */
  readonly buffers?: CallersBuffers;
  /** Scratch memory to share with other decoders of the device (default: the decoder's own). */
  readonly scratch?: DecoderScratch;
  /**
   * The results of a tuner. Entries that fit this adapter and the problem replace the defaults, and
   * `params` replaces both. Driver and backend are not compared, since a device does not report
   * them.
   */
  readonly tuning?: Tuning;
  /** The WGSL dialect of the device's compiler (default: found out on the device). */
  readonly dialect?: Dialect;
  /**
   * Unroll the hot loops of the shaders (default: true, but false on a software adapter, where
   * unrolled loops compile slowly and run no faster).
   */
  readonly unroll?: boolean;
  /** Most bytes that the decoder may allocate (default: only the device limits them). */
  readonly memoryLimit?: number;
}

/** The names of all options. */
const OPTIONS = Object.keys(
  {
    variant: 0,
    handOver: 0,
    lastArriver: 0,
    params: 0,
    buffers: 0,
    scratch: 0,
    tuning: 0,
    dialect: 0,
    unroll: 0,
    memoryLimit: 0,
  } satisfies Record<keyof DecoderOptions, 0>,
);

/** Records decode steps over persistent buffers. */
export interface Decoder {
  /** Shapes, code and selection rule. */
  readonly problem: Problem;
  /** Name of the variant that runs. */
  readonly variant: string;
  /** Parameters in use by variant name. They may be stored and passed to another decoder. */
  readonly params: Readonly<Record<string, Params>>;
  /** Sentences on features that failed the check of the device, such as subgroups. */
  readonly notes: readonly string[];
  /**
   * Every buffer by name, scratch included. Those that the caller did not give are the decoder's
   * own or those of `scratch`, with the usage STORAGE (UNIFORM for `sink_logits`), COPY_SRC and
   * COPY_DST. They stay the same until {@linkcode Decoder.destroy}.
   */
  readonly buffers: Readonly<Record<string, GPUBuffer>>;
  /** The part of each of {@linkcode Decoder.buffers} that is bound, in bytes. */
  readonly bindings: Readonly<Record<string, Readonly<Required<GPUBufferBinding>>>>;
  /**
   * Records the encoding of the keys `first_tokens[b]` to `lengths[b] - 1` of every sequence. It is
   * needed after a prompt, after a change of keys or maps, and for rotated codes also after a
   * sequence got shorter. A dense variant has no codes and records nothing.
   *
   * `first_tokens`, u32 [B], is zero unless the caller writes it: all keys are encoded. With a prompt
   * in chunks or a prefix that is kept, it is the number of tokens that have codes already. These
   * keep their codes; of rotated codes up to 3 before the first token are made again. With `centre`
   * the mean key is that of the last prompt that began at token 0.
   *
   * @param tokens Most tokens to encode of a sequence, as the caller knows it (default: the
   * capacity). It saves workgroups that have nothing to do. Sequences with more tokens to encode are
   * left without the codes of the last ones.
   * @throws {RangeError} if `tokens` is no whole number from 1 to the capacity.
   */
  recordPrompt(pass: GPUComputePassEncoder, tokens?: number): void;
  /**
   * Records the encoding of only token `lengths[b] - 1` of every sequence. A step includes this.
   */
  recordAppend(pass: GPUComputePassEncoder): void;
  /**
   * Records one decode step: codes of the queries and of the newest key, scores, selection,
   * attention, merge. It reads `lengths`, `q`, `keys`, `values`, the maps and `sink_logits`,
   * extends `codes` (and `factors` of rotated codes) by token `lengths[b] - 1` and writes `out`,
   * [B, Hq, D] in f32 or `outDtype`.
   */
  recordStep(pass: GPUComputePassEncoder): void;
  /** Destroys the buffers that the decoder made, but not the caller's and not those of `scratch`. */
  destroy(): void;
}

/**
 * Makes a decoder for a device and a problem. It knows the steps of {@linkcode DECODER_VARIANTS}.
 *
 * Each record call sets the pass's pipeline and bind group 0 and dispatches. It changes nothing
 * else, makes no GPU objects and waits for nothing. The lengths of the sequences (u32 [B], each
 * from 1 to `capacity`, the newest token included) lie in the GPU buffer `lengths`, so a step may
 * be recorded and submitted any number of times while they grow. Only the GPU reads the lengths, so
 * a length outside that range is not noticed: the output of all sequences is then undefined, and
 * the prompt of its own must be recorded again. The page table of a paged cache (`kvPages`), u32
 * [B, pages of the capacity], stands behind the lengths in the same buffer.
 *
 * Workgroups of several sequences share out the tokens of all, so that unequal lengths cost little.
 * `ragged: false` says that lengths will be about equal, which saves finding out whose they are.
 *
 * Dispatches are sized for `capacity`. Workgroups past a sequence's length read that length and
 * return. This costs nothing in the attention, whose splits divide the selected tokens. Score and
 * select have one surplus workgroup per code head and 2,048 or 4,096 tokens of free capacity, and a
 * prompt has one per tile of 8 to 128 tokens, unless `recordPrompt` is told how many tokens there
 * are. Buffers take the memory of the whole capacity.
 *
 * Sequences may share a prefix of `prefix` tokens, which the caches hold once, as layout.ts says. The
 * length of each then exceeds `prefix`.
 *
 * Where `keys` exceed the device's `maxStorageBufferBindingSize`, a step runs in pieces of KV heads or
 * sequences, each of which binds a part of the buffers. Their layouts stay the same.
 *
 * The decoder's own `sink_logits` start as {@linkcode NO_SINK_LOGIT} and its own `lengths` as 1.
 * Its other buffers start as zeros. Decoders on one device share compiled pipelines, and may share
 * the caller's buffers. One pass may hold steps of several decoders, which run in order.
 *
 * @param device The device, best from {@linkcode requestDecoderDevice}: a device with WebGPU's
 * default limits and no features runs only the slowest pipeline.
 * @param given Shapes and selection rule. `kvLen` and `lengths` are checked, but only `tuning` uses
 * `kvLen`. Codes are rotated keys unless it names a map.
 * @throws {RangeError} one sentence, before anything is allocated: an invalid problem, an unknown
 * variant, parameter or buffer, a missing feature, bytes needed and the limit that they exceed, or
 * a caller's buffer that is too small, or parts of one that WebGPU does not bind.
 * @throws {Error} for a shader that does not compile, for memory that the device does not have, and
 * if the caller asks for subgroups or a hand-over and the device fails their check.
 */
export async function createDecoder(
  device: GPUDevice,
  given: DecoderProblem,
  options: DecoderOptions = {},
): Promise<Decoder> {
  return await createDecoderOf(DECODER_VARIANTS, device, given, options);
}

/**
 * Makes a decoder that knows the steps of some variants alone, so that a bundler leaves out all
 * others. Everything else is as {@linkcode createDecoder} does it.
 *
 * @param variants Pipelines, dense variants, and the encoders of their codes: `rotatePrompt` and
 * `rotateAppend`, or `encodePrompt` and `encodeAppend` for a map. The best pipeline among them that
 * the device can run is the default.
 * @throws {RangeError} also if none of them is a pipeline for the codes, or an encoder is missing.
 */
export async function createDecoderOf(
  variants: readonly Variant[],
  device: GPUDevice,
  given: DecoderProblem,
  options: DecoderOptions = {},
): Promise<Decoder> {
  onlyFields("options", options, OPTIONS);
  const problem = withCode(given);
  const limits = limitsOf(device);
  const features = new Set<string>(device.features);
  const tuned = options.tuning
    ? await tunedOf(variants, device, problem, options.tuning, {
      ...limits,
      handOver: handOverOfChoice(options),
    })
    : {};
  const params = { ...tuned, ...options.params };
  const choice = { ...options, params };
  // A wrong argument must be refused before the device is used.
  const wanted = planDecoderOf(variants, problem, { features, limits }, choice);
  const { scratch } = options;
  scratch?.check(device);
  // The check of the device may leave another plan. What the caller gives must fit both.
  const fit = (plan: DecoderPlan) => {
    const callers = checkCallersBuffers(
      plan.buffers,
      plansOf(plan),
      options.buffers ?? {},
      device.limits,
    );
    const missing = () => missingBuffers(plan, callers, scratch);
    checkMemory(missing(), options.memoryLimit ?? Infinity);
    return { callers, missing };
  };
  fit(wanted);
  const handOver = handOverOfChoice(choice);
  const { dialect } = options;
  const checked = await checkDevice(device, handOver, dialect);
  if (checked.limits.handOver !== handOver) throw new Error(checked.notes.at(-1));
  const plan = planChecked(variants, problem, checked, choice);
  const { callers, missing } = fit(plan);

  const unroll = options.unroll ?? !isSoftware(device);
  const compile = (part: Plan) => compilePlan(device, part, { dialect, unroll });
  const programs = await Promise.all(plansOf(plan).map(compile));

  scratch?.check(device); // it may have been destroyed meanwhile
  device.pushErrorScope("validation");
  device.pushErrorScope("out-of-memory");
  const own = missing();
  const made = allocate(device, own);
  const shared = Object.keys(made).filter((name) => scratch && isScratch(name));
  for (const name of shared) scratch!.add(name, own[name], made[name]);
  if (made.sink_logits) {
    const none = new Float32Array(problem.qHeads).fill(NO_SINK_LOGIT);
    device.queue.writeBuffer(made.sink_logits, 0, none);
  }
  if (made.lengths) {
    device.queue.writeBuffer(made.lengths, 0, new Uint32Array(problem.batch).fill(1));
  }
  const bindings = { ...callers };
  for (const [name, spec] of Object.entries(plan.buffers)) {
    bindings[name] ??= bindingOf(made[name] ?? scratch!.get(name, spec));
  }
  const [step, prompt, append] = programs.map((each) => bindProgram(device, each, bindings));
  let destroyed = false;
  const destroy = () => {
    destroyed = true;
    for (const [name, buffer] of Object.entries(made)) {
      if (!shared.includes(name)) buffer.destroy();
    }
  };
  const errors = await Promise.all([device.popErrorScope(), device.popErrorScope()]);
  const error = errors.find((each) => each !== null);
  if (error) {
    destroy();
    for (const name of shared) {
      scratch!.remove(name, own[name]);
      made[name].destroy();
    }
    throw new Error(`the device refused the decoder's buffers: ${error.message}`);
  }
  const record = (bound?: BoundProgram, most?: number) => (pass: GPUComputePassEncoder) => {
    if (destroyed) throw new Error("the decoder is destroyed");
    if (bound) recordProgram(pass, bound, most);
  };
  return {
    problem,
    variant: plan.variant.name,
    params: plan.params,
    notes: checked.notes,
    buffers: Object.fromEntries(
      Object.entries(bindings).map(([name, { buffer }]) => [name, buffer]),
    ),
    bindings,
    recordPrompt(pass, tokens = problem.capacity) {
      if (!Number.isInteger(tokens) || tokens < 1 || tokens > problem.capacity) {
        throw new RangeError(
          `tokens must be a whole number from 1 to ${problem.capacity}, got ${tokens}`,
        );
      }
      record(prompt, tokens + PROMPT_ALIGNMENT - 1)(pass);
    },
    recordAppend: record(append),
    recordStep: record(step),
    destroy,
  };
}

/** The plans that a decoder may record: the step, then the encoders of a prompt and of the newest token. */
function plansOf({ step, encode }: DecoderPlan): Plan[] {
  return [step, ...(encode ? [encode.prompt, encode.append] : [])];
}

/** The buffers of a plan that neither the caller gave nor the shared scratch has. */
function missingBuffers(
  { buffers }: DecoderPlan,
  callers: Readonly<Record<string, unknown>>,
  scratch?: DecoderScratch,
): DecoderPlan["buffers"] {
  return Object.fromEntries(
    Object.entries(buffers).filter(([name, spec]) =>
      !callers[name] && !(isScratch(name) && scratch?.get(name, spec))
    ),
  );
}

/** Encoders of prompts begin at a multiple of so many tokens at most. */
const PROMPT_ALIGNMENT = 4;

/** Plans for a device after its check, which may have removed a feature that the choice needs. */
function planChecked(
  variants: readonly Variant[],
  problem: Problem,
  checked: CheckedDevice,
  choice: PlanChoice,
): DecoderPlan {
  try {
    return planDecoderOf(variants, problem, checked, choice);
  } catch (cause) {
    throw new Error([(cause as Error).message, ...checked.notes].join(". "), { cause });
  }
}

/** The tuned parameters for the problem on the device's adapter, by variant name. */
async function tunedOf(
  variants: readonly Variant[],
  device: GPUDevice,
  problem: Problem,
  tuning: Tuning,
  limits: DeviceLimits,
): Promise<Record<string, Params>> {
  checkProblem(problem);
  const { lengths: _, ...own } = problem;
  const even = { ...own, ragged: own.ragged ?? true };
  const info: Partial<GPUAdapterInfo> | undefined = device.adapterInfo;
  const adapter = info?.description || info?.device || "";
  const tuned: Record<string, Params> = {};
  for (const variant of variants) {
    const { params } = await tunedParams(tuning, { adapter }, variant, even, limits);
    if (params) tuned[variant.name] = params;
  }
  return tuned;
}

function isSoftware(device: GPUDevice): boolean {
  const info: Partial<GPUAdapterInfo> | undefined = device.adapterInfo;
  return info?.isFallbackAdapter ?? false;
}
