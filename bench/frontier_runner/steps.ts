/** The steps of a method: a problem for each budget, and the variants that may run it. */
import { findVariant } from "../../kernels/core/registry.ts";
import type { Problem, Shape } from "../../kernels/core/problem/problem.ts";
import { roundCapacity } from "../../kernels/core/problem/derived.ts";
import type { Variant } from "../../kernels/core/variant.ts";
import type { LearnedMap } from "../../kernels/maps/learned_map.ts";
import { eligible, type Session } from "../measure/session.ts";
import type { EdgeWindows } from "../selection/selector.ts";
import type { FrontierMethod } from "./methods.ts";

/** A method at one budget. */
export interface Step {
  /** S of k = N/S; null for windows alone. */
  readonly budget: number | null;
  /** The step of the timed shape, at some length. */
  readonly problem: Problem;
}

/** The steps of a method for a shape, one for each budget. */
export function stepsOf(
  method: FrontierMethod,
  map: LearnedMap | null,
  shape: Shape,
  { budgets, windows, kvLen }: {
    readonly budgets: readonly number[];
    readonly windows: EdgeWindows;
    readonly kvLen: number;
  },
): Step[] {
  const problem = {
    batch: 1,
    ...shape,
    kvLen,
    capacity: roundCapacity(kvLen),
    dtype: "f16",
    ...method.code(map),
    ...windows,
  } as const;
  if (method.withoutBudget) return [{ budget: null, problem: { ...problem, topK: { count: 0 } } }];
  return budgets.map((budget) => ({ budget, problem: { ...problem, topK: { sparsity: budget } } }));
}

/**
 * The variants of a method that a device can run: the fast ones, or the first portable one.
 *
 * @throws {RangeError} in one sentence with a reason, if it can run none.
 */
export function variantsOf(
  session: Pick<Session, "features" | "limits">,
  { name, pipelines, portable }: FrontierMethod,
  p: Problem,
): Variant[] {
  const fast = eligible(session, p, pipelines.map(findVariant));
  if (fast.able.length > 0) return fast.able;
  const slow = eligible(session, p, portable.map(findVariant));
  if (slow.able.length > 0) return slow.able.slice(0, 1);
  const [{ name: kernel, why }] = [...slow.refused, ...fast.refused];
  throw new RangeError(`${name} cannot run here: ${kernel}: ${why}`);
}

/** The variants of dense attention that a device can run, the portable one only without others. */
export function denseVariants(
  session: Pick<Session, "features" | "limits">,
  p: Problem,
): Variant[] {
  const fast = ["dense/split_subgroup", "dense/split_scatter"].map(findVariant);
  const { able } = eligible(session, p, fast);
  return able.length > 0 ? able : eligible(session, p, [findVariant("dense/split")]).able;
}
