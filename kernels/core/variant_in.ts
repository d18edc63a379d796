/** Finds variants by name. */
import type { Variant } from "./variant.ts";

/**
 * The variant of that name.
 *
 * @throws {RangeError} for an unknown name; the message lists the known ones.
 */
export function variantIn(variants: readonly Variant[], name: string): Variant {
  const found = variants.find((variant) => variant.name === name);
  if (found) return found;
  const known = variants.map((variant) => variant.name).join(", ");
  throw new RangeError(`no kernel is called ${name}; the known kernels are ${known}`);
}
