/** The stages that make inputs which are not raw, and whether a device can run them. Pure. */
import type { DeviceLimits, Params, Plan, Variant } from "../../../kernels/core/variant.ts";
import { encodePrompt } from "../../../kernels/encode/prompt.ts";
import { encodeQuery } from "../../../kernels/encode/token.ts";
import type { Problem } from "../../../kernels/core/problem.ts";
import { hamming } from "../../../kernels/score/hamming.ts";
import { counting } from "../../../kernels/select/counting.ts";
import { checkHolds } from "../../../kernels/core/device_memory.ts";

/** Which stage makes a buffer that is not raw. */
const MAKERS: Readonly<Record<string, Variant>> = {
  distances: hamming,
  block_histograms: hamming,
  selected: counting,
  selected_counts: counting,
};
const CODE_MAKERS: Readonly<Record<string, Variant>> = {
  codes: encodePrompt,
  query_codes: encodeQuery,
};

/** The stage that makes input `name`; undefined for what is raw. */
export function makerOf(name: string, encode: boolean): Variant | undefined {
  return MAKERS[name] ?? (encode ? CODE_MAKERS[name] : undefined);
}

/** The maker's own parameters, its blocks as the variant of `params` wants them. */
export function makerParams(
  maker: Variant,
  p: Problem,
  params: Params,
  limits: DeviceLimits,
): Params {
  const own = { ...maker.defaults(p, limits) };
  if (maker.tunables.BLOCK && params.BLOCK) own.BLOCK = params.BLOCK;
  return own;
}

/**
 * Why a device cannot make the inputs of a plan, which earlier stages make from buffers of their
 * own; undefined if it can.
 *
 * @param params Those of the plan.
 * @param encode Codes are made, too.
 */
export function refusesInputs(
  p: Problem,
  plan: Plan,
  params: Params,
  limits: DeviceLimits,
  encode: boolean,
): string | undefined {
  for (const [name, { role }] of Object.entries(plan.buffers)) {
    const maker = role === "input" ? makerOf(name, encode) : undefined;
    if (maker === undefined) continue;
    const own = makerParams(maker, p, params, limits);
    const why = maker.refuses(p, own, limits) ?? refusesPlan(p, maker.plan(p, own), own);
    if (why !== undefined) return `${maker.name}, which makes its ${name}, cannot run: ${why}`;
  }

  function refusesPlan(p: Problem, plan: Plan, own: Params): string | undefined {
    try {
      checkHolds(plan, limits);
    } catch (error) {
      if (error instanceof RangeError) return error.message;
      throw error;
    }
    return refusesInputs(p, plan, own, limits, encode);
  }
}
