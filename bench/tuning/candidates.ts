/** The candidates of a kernel: the allowed combinations of the values that it declares. */
import type { DeviceLimits, Variant } from "../../kernels/core/variant.ts";
import type { Params } from "../../kernels/core/problem/constants.ts";
import type { Problem } from "../../kernels/core/problem/problem.ts";

/** The candidates of one kernel for one problem on one device. */
export interface CandidateSpace {
  /** The parameters that are measured first, with which the others are compared. */
  readonly defaults: Params;
  /** The values to try for each parameter, ascending. */
  readonly values: Readonly<Record<string, readonly number[]>>;
  /** The number of combinations of the values, refused ones included. */
  readonly size: number;
  /** The combination `index`, from 0 to `size - 1`; other parameters have their defaults. */
  at(index: number): Params;
  /**
   * Whether the kernel, its ranges and the device's limits allow the parameters, and the inputs are
   * the same as with the defaults: a merge of fewer partials is not a faster merge.
   */
  allows(params: Params): boolean;
}

/** The candidates of a variant. They are made on demand, since a pipeline has millions. */
export function candidateSpace(
  variant: Variant,
  p: Problem,
  limits: DeviceLimits,
): CandidateSpace {
  const defaults = variant.defaults(p, limits);
  const values = Object.fromEntries(
    Object.entries(variant.tunables)
      .map(([name, list]) => [name, [...new Set(list)].sort((a, b) => a - b)]),
  );
  const axes = Object.entries(values);
  const inputs = inputsOf(variant, p, defaults);
  return {
    defaults,
    values,
    size: axes.reduce((product, [, list]) => product * list.length, 1),
    at(index) {
      const params: Record<string, number> = { ...defaults };
      for (const [name, list] of axes) {
        params[name] = list[index % list.length];
        index = Math.floor(index / list.length);
      }
      return params;
    },
    allows: (params) =>
      variant.refuses(p, params, limits) === undefined &&
      inputsOf(variant, p, params) === inputs,
  };
}

/** The names and bytes of a plan's inputs. */
function inputsOf(variant: Variant, p: Problem, params: Params): string {
  const { buffers } = variant.plan(p, params);
  return Object.entries(buffers).filter(([, { role }]) => role === "input")
    .map(([name, { bytes }]) => `${name} ${bytes}`).sort().join();
}

/** A key that two candidates share if and only if they are equal. */
export function candidateKey(params: Params): string {
  return JSON.stringify(Object.entries(params).sort(([a], [b]) => a < b ? -1 : 1));
}

/** The candidates that differ from `params` in one value, by one step up or down its list. */
export function neighbours({ values }: CandidateSpace, params: Params): Params[] {
  return Object.entries(values).flatMap(([name, list]) => {
    const below = list.findLast((value) => value < params[name]);
    const above = list.find((value) => value > params[name]);
    return [below, above].filter((value) => value !== undefined)
      .map((value) => ({ ...params, [name]: value }));
  });
}
