/**
 * A decoder: what an inference engine needs of this suite. It holds pipelines and buffers for one
 * problem on one device, and records whole decode steps into the engine's own compute passes.
 */
import { checkDevice, type CheckedDevice } from "../check/device_check.ts";
import type { DeviceLimits, Params, Plan } from "../core/variant.ts";
import { NO_SINK_LOGIT } from "../core/layout.ts";
import { checkProblem, type Problem } from "../core/problem.ts";
import {
  allocate,
  bindProgram,
  type BoundProgram,
  compilePlan,
  recordProgram,
} from "../core/program.ts";
import { VARIANTS } from "../core/registry.ts";
import { tunedParams, type Tuning } from "../core/tuning.ts";
import type { Dialect } from "../core/wgsl.ts";
import { type CallersBuffers, checkCallersBuffers, checkMemory } from "./decoder_buffers.ts";
import {
  type DecoderPlan,
  handOverOfChoice,
  type PlanChoice,
  planDecoder,
} from "./decoder_plan.ts";
import { limitsOf } from "../core/device_limits.ts";

/** Settings of {@linkcode createDecoder}. */
export interface DecoderOptions extends PlanChoice {
  /**
   * The caller's own buffers, with at least the bytes of `bufferBytes` and the usage STORAGE, but
   * for `sink_logits`, which has UNIFORM.
   */
  readonly buffers?: CallersBuffers;
  /**
   * What a tuner found: entries for this adapter and the problem stand for defaults where they fit,
   * and `params` for both. The driver and the backend, which a device does not tell, are not compared.
   */
  readonly tuning?: Tuning;
  /** The WGSL that the device's compiler takes (default: the device is asked). */
  readonly dialect?: Dialect;
  /**
   * Write out the hot loops of the shaders (default: true, but false on a software adapter, where
   * they compile slowly and run no faster).
   */
  readonly unroll?: boolean;
  /** Most bytes that the decoder may allocate (default: no limit but the device's own). */
  readonly memoryLimit?: number;
}

/** Records decode steps over persistent buffers. */
export interface Decoder {
  /** Shapes and selection rule, as given. */
  readonly problem: Problem;
  /** Name of the variant that runs. */
  readonly variant: string;
  /** Parameters in use by variant name, to be kept and passed again. */
  readonly params: Readonly<Record<string, Params>>;
  /** Sentences on what the device lost when it was tried, such as its kernels with subgroups. */
  readonly notes: readonly string[];
  /**
   * Every buffer by name: the caller's, and for the rest the decoder's own (usage STORAGE or, of
   * `sink_logits`, UNIFORM; COPY_SRC and COPY_DST), scratch included. They stay the same until {@linkcode Decoder.destroy}.
   */
  readonly buffers: Readonly<Record<string, GPUBuffer>>;
  /**
   * Records the codes of all `lengths[b]` keys of every sequence: after a prompt, or after keys or
   * maps were changed. Nothing is recorded for a dense variant, which has no codes.
   */
  recordPrompt(pass: GPUComputePassEncoder): void;
  /** Records the code of token `lengths[b] - 1` of every sequence alone; a step does so itself. */
  recordAppend(pass: GPUComputePassEncoder): void;
  /**
   * Records one decode step: codes of the queries and of the newest key, scores, selection,
   * attention, merge. It reads `lengths`, `q`, `keys`, `values`, the maps and `sink_logits`, extends
   * `codes` by token `lengths[b] - 1` and writes `out`, f32 [B, Hq, D].
   */
  recordStep(pass: GPUComputePassEncoder): void;
  /** Frees the buffers that the decoder made; the caller's stay. */
  destroy(): void;
}

/**
 * Makes a decoder for a device and a problem.
 *
 * Each record call sets the pass's pipeline and bind group 0 and dispatches; it changes nothing
 * else, makes no GPU objects and waits for nothing. The lengths of the sequences (u32 [B], each from
 * 1 to `capacity`, the newest token included) lie in the GPU buffer `lengths`, so a step may be
 * recorded and submitted any number of times while they grow. Lengths outside that range are not
 * noticed: they are read on the GPU alone.
 *
 * Dispatches are sized for `capacity`; workgroups past a sequence's length read that length and
 * leave. That costs nothing in the attention (its splits share out whatever is selected), one
 * surplus workgroup per 2,048 or 4,096 tokens of free capacity and code head in score and select,
 * and one per tile of 8 to 128 tokens in a prompt. Buffers take the memory of the whole capacity.
 *
 * The decoder's own `sink_logits` start as {@linkcode NO_SINK_LOGIT} and its own `lengths` as 1; all
 * other buffers it makes start as zeros. Decoders on one device share compiled pipelines, and may
 * share the caller's buffers. Steps of decoders that share none may stand in one pass.
 *
 * @param device The device, best one of {@linkcode requestDecoderDevice}: on a device with WebGPU's
 * default limits and no features the slowest pipeline is all that runs.
 * @param problem Shapes and selection rule; `lengths` play no part, `kvLen` one in `tuning` alone.
 * @throws {RangeError} one sentence, before anything is allocated: an impossible problem, an unknown
 * variant, parameter or buffer, a missing feature, bytes needed and the limit that they exceed, or
 * a caller's buffer that is too small.
 * @throws {Error} for a shader that does not compile, memory that the device does not have, or a
 * hand-over or kernels with subgroups that were asked for and that the device fails when it is tried.
 */
export async function createDecoder(
  device: GPUDevice,
  problem: Problem,
  options: DecoderOptions = {},
): Promise<Decoder> {
  const limits = limitsOf(device);
  const features = new Set<string>(device.features);
  const tuned = options.tuning
    ? await tunedOf(device, problem, options.tuning, {
      ...limits,
      handOver: handOverOfChoice(options),
    })
    : {};
  const params = { ...tuned, ...options.params };
  const choice = { ...options, params };
  // What is wrong with the call is said before the device is touched.
  planDecoder(problem, { features, limits }, choice);
  const handOver = handOverOfChoice(choice);
  const { dialect } = options;
  const checked = await checkDevice(device, handOver, dialect);
  if (checked.limits.handOver !== handOver) throw new Error(checked.notes.at(-1));
  const plan = planChecked(problem, checked, choice);
  const given = checkCallersBuffers(plan.buffers, options.buffers ?? {}, limits);
  const missing = Object.fromEntries(
    Object.entries(plan.buffers).filter(([name]) => !given[name]),
  );
  checkMemory(missing, options.memoryLimit ?? Infinity);

  const unroll = options.unroll ?? !isSoftware(device);
  const compile = (part: Plan) => compilePlan(device, part, { dialect, unroll });
  const plans = [plan.step, ...(plan.encode ? [plan.encode.prompt, plan.encode.append] : [])];
  const programs = await Promise.all(plans.map(compile));

  device.pushErrorScope("validation");
  device.pushErrorScope("out-of-memory");
  const own = allocate(device, missing);
  if (own.sink_logits) {
    const none = new Float32Array(problem.qHeads).fill(NO_SINK_LOGIT);
    device.queue.writeBuffer(own.sink_logits, 0, none);
  }
  if (own.lengths) {
    device.queue.writeBuffer(own.lengths, 0, new Uint32Array(problem.batch).fill(1));
  }
  const buffers = { ...given, ...own };
  const [step, prompt, append] = programs.map((each) => bindProgram(device, each, buffers));
  const destroy = () => Object.values(own).forEach((buffer) => buffer.destroy());
  const errors = await Promise.all([device.popErrorScope(), device.popErrorScope()]);
  const error = errors.find((each) => each !== null);
  if (error) {
    destroy();
    throw new Error(`the device refused the decoder's buffers: ${error.message}`);
  }
  const record = (bound?: BoundProgram) => (pass: GPUComputePassEncoder) => {
    if (bound) recordProgram(pass, bound);
  };
  return {
    problem,
    variant: plan.variant.name,
    params: plan.params,
    notes: checked.notes,
    buffers,
    recordPrompt: record(prompt),
    recordAppend: record(append),
    recordStep: record(step),
    destroy,
  };
}

/** Plans with what a check has left of a device on which the same choice was possible before it. */
function planChecked(problem: Problem, checked: CheckedDevice, choice: PlanChoice): DecoderPlan {
  try {
    return planDecoder(problem, checked, choice);
  } catch (cause) {
    throw new Error([(cause as Error).message, ...checked.notes].join(". "), { cause });
  }
}

/** The tuned parameters of every variant that has some for the problem on the device's adapter. */
async function tunedOf(
  device: GPUDevice,
  problem: Problem,
  tuning: Tuning,
  limits: DeviceLimits,
): Promise<Record<string, Params>> {
  checkProblem(problem);
  const { lengths: _, ...even } = problem;
  const info: Partial<GPUAdapterInfo> | undefined = device.adapterInfo;
  const adapter = info?.description || info?.device || "";
  const tuned: Record<string, Params> = {};
  for (const variant of VARIANTS) {
    const { params } = await tunedParams(tuning, { adapter }, variant, even, limits);
    if (params) tuned[variant.name] = params;
  }
  return tuned;
}

function isSoftware(device: GPUDevice): boolean {
  const info: Partial<GPUAdapterInfo> | undefined = device.adapterInfo;
  return info?.isFallbackAdapter ?? false;
}
