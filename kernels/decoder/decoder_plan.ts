/**
 * Decides what a decoder runs and checks all of it, before anything touches the GPU: which
 * variant, which parameters, which buffers of which sizes.
 */
import type { BufferSpec, DeviceLimits, HandOver, Params, Plan, Variant } from "../core/variant.ts";
import { HAND_OVER_CODE } from "../merge/hand_over.ts";
import { encodePrompt } from "../encode/prompt.ts";
import { encodeAppend } from "../encode/token.ts";
import { checkProblem, type Problem } from "../core/problem.ts";
import { findVariant, VARIANTS } from "../core/registry.ts";

/** What of a device decides what can run on it. */
export interface DeviceFacts {
  /** Names of the optional features that the device was opened with. */
  readonly features: ReadonlySet<string>;
  readonly limits: DeviceLimits;
}

/** What a caller may decide about a decoder's plan. */
export interface PlanChoice {
  /** Name of a pipeline or dense variant; the best that the device runs if left out. */
  readonly variant?: string;
  /**
   * How workgroups hand partials over. Default `dispatch`: all that WGSL guarantees. `barrier` is
   * the fastest and saves a dispatch; it needs storageBarrier() to order memory for the whole
   * device, as it does under naga on Vulkan. `atomics` saves the same dispatch where devices keep
   * atomics coherent, which WGSL does not promise to order either.
   */
  readonly handOver?: HandOver;
  /** True is short for `handOver: "barrier"`. */
  readonly lastArriver?: boolean;
  /** Tuned parameters by variant name, over the defaults; those of unused variants may stay. */
  readonly params?: Readonly<Record<string, Params>>;
}

/** What a decoder runs. */
export interface DecoderPlan {
  readonly variant: Variant;
  /** Parameters in use by variant name. */
  readonly params: Readonly<Record<string, Params>>;
  readonly step: Plan;
  /** Codes of whole prompts and of newest tokens; absent where the variant needs no codes. */
  readonly encode?: { readonly prompt: Plan; readonly append: Plan };
  /** Every buffer of the plans, by name. */
  readonly buffers: Readonly<Record<string, BufferSpec>>;
}

/**
 * Plans a decoder.
 *
 * @throws {RangeError} one sentence: an impossible problem, an unknown variant or parameter, a
 * value out of range, a feature that the device lacks, or bytes that exceed a limit.
 */
export function planDecoder(p: Problem, device: DeviceFacts, choice: PlanChoice): DecoderPlan {
  checkProblem(p);
  for (const name of Object.keys(choice.params ?? {})) findVariant(name);
  let refusal: unknown;
  const limits = { ...device.limits, handOver: handOverOfChoice(choice) };
  const facts = { ...device, limits };
  for (const variant of candidates(choice)) {
    try {
      return planWith(variant, p, facts, choice.params ?? {});
    } catch (error) {
      // Only what the device lacks makes way for a slower variant: wrong parameters are told.
      if (runsByDefault(variant, p, facts)) throw error;
      // The last candidate asks for least: what stops it stops them all.
      refusal = error;
    }
  }
  throw refusal;
}

/** How a caller wants partials handed over. */
export function handOverOfChoice({ handOver, lastArriver }: PlanChoice): HandOver {
  if (handOver !== undefined && !(handOver in HAND_OVER_CODE)) {
    const known = Object.keys(HAND_OVER_CODE).join(", ");
    throw new RangeError(`handOver must be one of ${known}, got ${handOver}`);
  }
  if (lastArriver && handOver !== undefined && handOver !== "barrier") {
    throw new RangeError(`lastArriver stands for handOver "barrier" and contradicts "${handOver}"`);
  }
  return handOver ?? (lastArriver ? "barrier" : "dispatch");
}

/** The named variant alone, or all pipelines: the more of a device one uses, the sooner. */
function candidates({ variant: name }: PlanChoice): readonly Variant[] {
  if (name === undefined) {
    return VARIANTS
      .filter(({ stage }) => stage === "pipeline")
      .sort((a, b) => b.features.length - a.features.length);
  }
  const variant = findVariant(name);
  if (variant.stage !== "pipeline" && variant.stage !== "dense") {
    throw new RangeError(
      `a decoder needs a pipeline or dense variant, ${name} is one of ${variant.stage}`,
    );
  }
  return [variant];
}

function planWith(
  variant: Variant,
  p: Problem,
  device: DeviceFacts,
  tuned: Readonly<Record<string, Params>>,
): DecoderPlan {
  const params: Record<string, Params> = {};
  const planOf = (each: Variant) => {
    params[each.name] = paramsOf(each, p, device, tuned[each.name] ?? {});
    const why = each.refuses(p, params[each.name], device.limits);
    if (why) throw new RangeError(`${each.name}: ${why}`);
    return each.plan(p, params[each.name]);
  };
  const step = planOf(variant);
  if (!step.buffers.codes) return { variant, params, step, buffers: step.buffers };
  const encode = { prompt: planOf(encodePrompt), append: planOf(encodeAppend) };
  const buffers: Record<string, BufferSpec> = {};
  for (const plan of [encode.append, encode.prompt, step]) {
    for (const [name, spec] of Object.entries(plan.buffers)) {
      buffers[name] = { ...spec, bytes: Math.max(spec.bytes, buffers[name]?.bytes ?? 0) };
    }
  }
  return { variant, params, step, encode, buffers };
}

function runsByDefault(variant: Variant, p: Problem, device: DeviceFacts): boolean {
  try {
    planWith(variant, p, device, {});
    return true;
  } catch {
    return false;
  }
}

function paramsOf(
  variant: Variant,
  p: Problem,
  { features, limits }: DeviceFacts,
  tuned: Params,
): Params {
  const missing = variant.features.find((feature) => !features.has(feature));
  if (missing) throw new RangeError(`${variant.name} needs the device feature ${missing}`);
  const defaults = variant.defaults(p, limits);
  for (const [name, value] of Object.entries(tuned)) {
    if (!(name in defaults)) {
      const known = Object.keys(defaults).join(", ");
      throw new RangeError(`${variant.name} has no parameter ${name}; known are ${known}`);
    }
    if (!Number.isInteger(value) || value < 0) {
      throw new RangeError(
        `parameter ${name} of ${variant.name} must be a whole number, got ${value}`,
      );
    }
  }
  return { ...defaults, ...tuned };
}
