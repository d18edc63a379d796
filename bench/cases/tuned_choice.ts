/** Chooses the parameters of a kernel: tuned ones if there are any, else its defaults. */
import type { DeviceLimits, Variant } from "../../kernels/core/variant.ts";
import type { Params } from "../../kernels/core/problem/constants.ts";
import type { Problem } from "../../kernels/core/problem/problem.ts";
import { tunedParams, type Tuning, type TuningKey } from "../../kernels/core/tuning.ts";

/** Parameters and their origin. */
export interface ParamsChoice {
  readonly params: Params;
  /** The tuned values, or the reason why they are not used; null if nothing was tuned. */
  readonly note: string | null;
}

/** The device and the tuned parameters. */
export interface ChoiceContext {
  readonly facts: TuningKey;
  readonly limits: DeviceLimits;
  /** Without tuned parameters all kernels run with their defaults. */
  readonly tuning?: Tuning;
}

/** Chooses the parameters of a variant for a problem on the device of a run. */
export async function chooseParams(
  { facts, limits, tuning }: ChoiceContext,
  variant: Variant,
  p: Problem,
): Promise<ParamsChoice> {
  const defaults = variant.defaults(p, limits);
  if (!tuning) return { params: defaults, note: null };
  const { params, stale } = await tunedParams(tuning, facts, variant, p, limits);
  if (params) return { params, note: changes(defaults, params) };
  const note = stale ? "its tuned parameters are stale: it has changed since" : null;
  return { params: defaults, note };
}

/** The tuned parameters that differ from the defaults, as `NAME value (default value)`. */
function changes(defaults: Params, params: Params): string {
  const changed = Object.entries(params).filter(([name, value]) => value !== defaults[name]);
  if (changed.length === 0) return "tuned, the defaults are best";
  const texts = changed.map(([name, value]) => `${name} ${value} (default ${defaults[name]})`);
  return `tuned, ${texts.join(", ")}`;
}
