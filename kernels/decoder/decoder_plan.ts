/**
 * Chooses the variant, the parameters and the buffers of a decoder, and checks them before the GPU
 * is used.
 */
import type { BufferSpec, DeviceLimits, HandOver, Plan, Variant } from "../core/variant.ts";
import type { Params } from "../core/problem/constants.ts";
import { HAND_OVER_CODE } from "../merge/hand_over.ts";
import { refusesCodes, refusesPrefix } from "../core/define.ts";
import { checkProblem } from "../core/problem/check_problem.ts";
import { isRotated, prefixOf } from "../core/problem/derived.ts";
import type { Problem } from "../core/problem/problem.ts";
import { planOn } from "../core/pieces.ts";
import { DECODER_VARIANTS } from "../core/registry.ts";
import { variantIn } from "../core/variant_in.ts";

/** The facts of a device that decide which variants it can run. */
export interface DeviceFacts {
  /** Names of the optional features that the device was opened with. */
  readonly features: ReadonlySet<string>;
  readonly limits: DeviceLimits;
}

/** The caller's choices for a decoder's plan. */
export interface PlanChoice {
  /** Name of a pipeline or dense variant (default: the best one that the device runs). */
  readonly variant?: string;
  /**
   * How workgroups hand over partials. The default `dispatch` is all that WGSL guarantees.
   * `barrier` is the fastest and saves a dispatch. It needs a storageBarrier() that orders memory
   * for the whole device, as under naga on Vulkan. `atomics` saves the same dispatch on devices
   * that keep atomics coherent, but WGSL does not guarantee their order either.
   */
  readonly handOver?: HandOver;
  /** `true` is short for `handOver: "barrier"`. */
  readonly lastArriver?: boolean;
  /** Parameters by variant name, which replace the defaults. Unused variants are ignored. */
  readonly params?: Readonly<Record<string, Params>>;
}

/** The variant, the parameters, the plans and the buffers of a decoder. */
export interface DecoderPlan {
  readonly variant: Variant;
  /** Parameters in use by variant name. */
  readonly params: Readonly<Record<string, Params>>;
  readonly step: Plan;
  /** Plans that encode whole prompts and newest tokens; absent if the variant needs no codes. */
  readonly encode?: { readonly prompt: Plan; readonly append: Plan };
  /** Every buffer of the plans, by name. */
  readonly buffers: Readonly<Record<string, BufferSpec>>;
}

/**
 * Plans a decoder.
 *
 * @throws {RangeError} one sentence: an invalid problem, an unknown variant or parameter, a value
 * out of range, a feature that the device lacks, or bytes that exceed a limit.
 */
export function planDecoder(p: Problem, device: DeviceFacts, choice: PlanChoice): DecoderPlan {
  return planDecoderOf(DECODER_VARIANTS, p, device, choice);
}

/** {@linkcode planDecoder} with the steps of some variants alone. */
export function planDecoderOf(
  variants: readonly Variant[],
  p: Problem,
  device: DeviceFacts,
  choice: PlanChoice,
): DecoderPlan {
  checkProblem(p);
  const problem = { ...p, ragged: p.ragged ?? true };
  for (const name of Object.keys(choice.params ?? {})) variantIn(variants, name);
  let refusal: unknown;
  const limits = { ...device.limits, handOver: handOverOfChoice(choice) };
  const facts = { ...device, limits };
  for (const variant of candidates(variants, p, choice)) {
    try {
      return planWith(variants, variant, problem, facts, choice.params ?? {});
    } catch (error) {
      // A slower variant is tried only if the device lacks something. Wrong parameters are errors.
      if (runsByDefault(variants, variant, problem, facts)) throw error;
      // The last candidate needs the least, so its refusal holds for all candidates.
      refusal = error;
    }
  }
  throw refusal;
}

/** The hand-over that a caller chose. */
export function handOverOfChoice({ handOver, lastArriver }: PlanChoice): HandOver {
  if (handOver !== undefined && !Object.hasOwn(HAND_OVER_CODE, handOver)) {
    const known = Object.keys(HAND_OVER_CODE).join(", ");
    throw new RangeError(`handOver must be one of ${known}, got ${handOver}`);
  }
  if (lastArriver && handOver !== undefined && handOver !== "barrier") {
    throw new RangeError(`lastArriver means handOver "barrier", which contradicts "${handOver}"`);
  }
  return handOver ?? (lastArriver ? "barrier" : "dispatch");
}

/** Only the named variant, or all pipelines, sorted by the number of features that they use. */
function candidates(
  variants: readonly Variant[],
  p: Problem,
  { variant: name }: PlanChoice,
): readonly Variant[] {
  if (name === undefined) {
    const found = variants
      .filter((variant) => variant.stage === "pipeline")
      .filter((variant) => !refusesCodes(variant, p) && !refusesPrefix(variant, p))
      .sort((a, b) => b.features.length - a.features.length);
    if (found.length > 0) return found;
    const kind = isRotated(p) ? "rotated codes" : "codes of a map";
    const shared = prefixOf(p) > 0 ? " and a shared prefix" : "";
    throw new RangeError(`none of the given variants is a pipeline for ${kind}${shared}`);
  }
  const variant = variantIn(variants, name);
  if (variant.stage !== "pipeline" && variant.stage !== "dense") {
    throw new RangeError(
      `a decoder needs a pipeline or dense variant, but ${name} is a variant of ${variant.stage}`,
    );
  }
  return [variant];
}

/** The variants that encode a prompt and the newest token, for each kind of codes. */
const MAP_ENCODERS = ["encode/prompt", "encode/append"] as const;
const ROTATED_ENCODERS = ["encode/rotate_prompt", "encode/rotate_append"] as const;

function planWith(
  variants: readonly Variant[],
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
    return planOn(each, p, params[each.name], device.limits);
  };
  const step = planOf(variant);
  if (!step.buffers.codes) return { variant, params, step, buffers: step.buffers };
  const [prompt, append] = (isRotated(p) ? ROTATED_ENCODERS : MAP_ENCODERS)
    .map((name) => planOf(variantIn(variants, name)));
  const encode = { prompt, append };
  const buffers: Record<string, BufferSpec> = {};
  for (const plan of [encode.append, encode.prompt, step]) {
    for (const [name, spec] of Object.entries(plan.buffers)) {
      buffers[name] = { ...spec, bytes: Math.max(spec.bytes, buffers[name]?.bytes ?? 0) };
    }
  }
  return { variant, params, step, encode, buffers };
}

function runsByDefault(
  variants: readonly Variant[],
  variant: Variant,
  p: Problem,
  device: DeviceFacts,
): boolean {
  try {
    planWith(variants, variant, p, device, {});
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
      throw new RangeError(`${variant.name} has no parameter ${name}; its parameters are ${known}`);
    }
    if (!Number.isInteger(value) || value < 0) {
      throw new RangeError(
        `parameter ${name} of ${variant.name} must be a whole number, got ${value}`,
      );
    }
  }
  return { ...defaults, ...tuned };
}
