/** Which parameters a kernel runs with: tuned ones where there are any, else its defaults. */
import type { DeviceLimits, Params, Variant } from "../../kernels/core/variant.ts";
import type { Problem } from "../../kernels/core/problem.ts";
import { tunedParams, type Tuning, type TuningKey } from "../../kernels/core/tuning.ts";

/** Parameters, and where they come from. */
export interface ParamsChoice {
  readonly params: Params;
  /** A sentence's worth on what was tuned, or why that was passed over; null for plain defaults. */
  readonly note: string | null;
}

/** What decides where there is more than one way to run a kernel. */
export interface ChoiceContext {
  readonly facts: TuningKey;
  readonly limits: DeviceLimits;
  /** Without it all kernels run with their defaults. */
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
  if (changed.length === 0) return "tuned, its defaults are best";
  const texts = changed.map(([name, value]) => `${name} ${value} (default ${defaults[name]})`);
  return `tuned, ${texts.join(", ")}`;
}
