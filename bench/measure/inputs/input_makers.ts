/** The variants that make derived inputs, such as distances, and whether a device can run them. */
import type { DeviceLimits, Params, Plan, Variant } from "../../../kernels/core/variant.ts";
import { encodePrompt } from "../../../kernels/encode/prompt.ts";
import { encodeQuery } from "../../../kernels/encode/token.ts";
import type { Problem } from "../../../kernels/core/problem.ts";
import { hamming } from "../../../kernels/score/hamming.ts";
import { counting } from "../../../kernels/select/counting.ts";
import { checkHolds } from "../../../kernels/core/device_memory.ts";

/** The variant that makes each derived buffer. */
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

/** The variant that makes input `name`; undefined for raw data. */
export function makerOf(name: string, encode: boolean): Variant | undefined {
  return MAKERS[name] ?? (encode ? CODE_MAKERS[name] : undefined);
}

/** The maker's default parameters, but with the block size of the variant that `params` are of. */
export function makerParams(
  maker: Variant,
  p: Problem,
  params: Params,
  limits: DeviceLimits,
): Params {
  const defaults = maker.defaults(p, limits);
  if (!maker.tunables.BLOCK || !params.BLOCK) return defaults;
  return { ...defaults, BLOCK: params.BLOCK };
}

/**
 * The reason why a device cannot make the derived inputs of a plan; undefined if it can. The
 * variants that make them need buffers of their own.
 *
 * @param params The parameters of the plan.
 * @param encode Whether codes are derived, too.
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
    const makersOwn = makerParams(maker, p, params, limits);
    const why = maker.refuses(p, makersOwn, limits) ??
      refusesPlan(maker.plan(p, makersOwn), makersOwn);
    if (why !== undefined) return `${maker.name}, which makes its ${name}, cannot run: ${why}`;
  }

  function refusesPlan(plan: Plan, params: Params): string | undefined {
    try {
      checkHolds(plan, limits);
    } catch (error) {
      if (error instanceof RangeError) return error.message;
      throw error;
    }
    return refusesInputs(p, plan, params, limits, encode);
  }
}
