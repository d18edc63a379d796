/**
 * Makes kernels and variants of what their modules know about them: bindings come from the WGSL
 * text, and whatever every plan must satisfy on a device is checked in one place.
 */
import type { DeviceLimits, Kernel, Params, Plan, Variant } from "./variant.ts";
import type { Problem } from "./problem.ts";
import { refusesFit, refusesRanges } from "./refusals.ts";
import { bindingsOf } from "./wgsl_facts.ts";

/** A kernel, its bindings read from its text. */
export function defineKernel(own: Omit<Kernel, "bindings">): Kernel {
  return { ...own, bindings: bindingsOf(own.source) };
}

/**
 * A variant that refuses, besides what its module refuses, parameters out of their ranges and
 * plans that the device cannot bind, hold in workgroup memory or dispatch.
 */
export function defineVariant(own: Variant): Variant {
  return {
    ...own,
    refuses(p: Problem, params: Params, limits: DeviceLimits): string | undefined {
      const plan: Plan = own.plan(p, params);
      return refusesRanges(plan) ?? own.refuses(p, params, limits) ?? refusesFit(plan, limits);
    },
  };
}
