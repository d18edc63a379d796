/** Dispatches whose constants follow from a problem. */
import { kernelOf } from "./formats.ts";
import { type Params, problemParams } from "./problem/constants.ts";
import type { Problem } from "./problem/problem.ts";
import type { Dispatch, Kernel } from "./variant.ts";

/**
 * A dispatch whose parameters come from the problem and from `values`; others are left out. Its kernel
 * is that for the problem's formats.
 */
export function dispatch(
  kernel: Kernel,
  p: Problem,
  values: Params,
  workgroups: readonly [number, number, number],
  rename?: Readonly<Record<string, string>>,
): Dispatch {
  const all = { ...problemParams(p), ...values };
  const params = Object.fromEntries(
    Object.keys(kernel.params).map((name) => {
      if (!(name in all)) throw new Error(`${kernel.name}: no value for parameter ${name}`);
      return [name, all[name]];
    }),
  );
  return { kernel: kernelOf(kernel, p), params, workgroups, ...(rename ? { rename } : {}) };
}

/** A dispatch along whose x a workgroup has `tokens` tokens: as many workgroups as the capacity needs. */
export function tokenTiles(
  kernel: Kernel,
  p: Problem,
  values: Params,
  tokens: number,
  [y, z]: readonly [number, number],
): Dispatch {
  return { ...dispatch(kernel, p, values, [Math.ceil(p.capacity / tokens), y, z]), tokens };
}
