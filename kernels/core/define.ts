/**
 * Makes kernels and variants from the definitions in their modules. Bindings come from the WGSL
 * text, and the checks that every plan must pass on a device are made in one place.
 */
import type { DeviceLimits, Dispatch, Kernel, Plan, Variant } from "./variant.ts";
import type { Params } from "./problem/constants.ts";
import { hasPlainCache } from "./problem/cache_layout.ts";
import { isRotated, prefixOf, valueDimOf } from "./problem/derived.ts";
import type { Problem } from "./problem/problem.ts";
import { refusesFormats } from "./formats.ts";
import { piecesOf, planOn, refusesPieces } from "./pieces.ts";
import { refusesFit, refusesRanges } from "./refusals.ts";
import { bindingsOf } from "./wgsl/wgsl_facts.ts";

/** A kernel with the bindings that its text declares. */
export function defineKernel(definition: Omit<Kernel, "bindings">): Kernel {
  return { ...definition, bindings: bindingsOf(definition.source) };
}

/** The reason that a variant has no use for a problem's kind of codes; undefined if it has. */
export function refusesCodes({ codes }: Pick<Variant, "codes">, p: Problem): string | undefined {
  if (codes === "map" && isRotated(p)) return "it takes codes of a map, and these are rotated";
  if (codes === "rotated" && !isRotated(p)) return "it takes rotated codes, and a map makes these";
}

/** The reason that a variant cannot take a problem's prefix, or the lack of one. */
export function refusesPrefix(
  { sharedPrefix }: Pick<Variant, "sharedPrefix">,
  p: Problem,
): string | undefined {
  const shares = prefixOf(p) > 0;
  if (shares && !sharedPrefix) return "it takes no prefix that sequences share";
  if (!shares && sharedPrefix === "only") return "it takes sequences that share a prefix only";
}

/** The reason that a variant cannot take a problem's rows of K and V; undefined if it can. */
function refusesRows({ unequalRows }: Variant, p: Problem): string | undefined {
  if (unequalRows || valueDimOf(p) === p.headDim) return undefined;
  return `rows of V have ${p.valueDim} elements, those of K ${p.headDim}, and it takes equal ones`;
}

/** Names of caches of rows; those of other systems are caches of their own. */
const CACHES = /(^|_)(keys|values)$/;

/** The reason that a plan cannot take a problem's layout of K and V; undefined if it can. */
function refusesCache(p: Problem, { dispatches }: Plan): string | undefined {
  const isFixed = ({ kernel }: Dispatch) =>
    kernel.bindings.some(({ name }) => CACHES.test(name)) && !("TOKEN_STRIDE" in kernel.params);
  if (hasPlainCache(p) || !dispatches.some(isFixed)) return undefined;
  return "it takes K and V without strides or pages";
}

/**
 * A variant with the checks that all variants share. It also refuses parameters out of their ranges
 * and plans that the device cannot bind, hold in workgroup memory or dispatch. Where a problem runs
 * in pieces, parameters are those of a piece.
 */
export function defineVariant(definition: Variant): Variant {
  return {
    ...definition,
    defaults: (p: Problem, limits: DeviceLimits): Params =>
      definition.defaults(piecesOf(p, limits)?.each ?? p, limits),
    refuses(p: Problem, params: Params, limits: DeviceLimits): string | undefined {
      const why = refusesCodes(definition, p) ?? refusesPrefix(definition, p) ??
        refusesRows(definition, p);
      if (why) return why;
      const plan: Plan = planOn(definition, p, params, limits);
      return refusesCache(p, plan) ?? refusesFormats(definition, p, plan) ?? refusesRanges(plan) ??
        refusesPieces(p, plan, limits) ??
        definition.refuses(piecesOf(p, limits)?.each ?? p, params, limits) ??
        refusesFit(plan, limits);
    },
  };
}
