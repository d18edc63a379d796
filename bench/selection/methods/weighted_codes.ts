/** Codes of queries by signs and magnitude planes, and distances of many tokens from them. */
import type { TraceContext } from "../../../fixtures/trace.ts";
import { popcount } from "../../../kernels/core/bits.ts";
import { magnitudeOf, magnitudeUnits, packBits } from "../../../kernels/encode/reference.ts";

/** The code of a query. */
export interface WeightedCode {
  /** The signs of the outputs, one bit each. */
  readonly signs: Uint32Array;
  /** A weight per bit: its magnitude, or 1 without planes. */
  readonly weights: Uint8Array;
  /** The bits of the weights, a mask for each power of two from 1 up. */
  readonly masks: readonly Uint32Array[];
}

/**
 * The code of a query with magnitude planes 0 to 3.
 *
 * @param outputs One per bit: of a learned map their tanh, of the rotation as they are.
 */
export function weightedCode(outputs: ArrayLike<number>, planes: number): WeightedCode {
  const weights = planes === 0
    ? new Uint8Array(outputs.length).fill(1)
    : Uint8Array.from(magnitudeUnits(outputs, planes), (units) => magnitudeOf(units, planes));
  const masks = Array.from(
    { length: Math.max(1, planes) },
    (_, plane) => packBits(weights.map((weight) => (weight >>> plane) & 1)),
  );
  return { signs: packBits(outputs), weights, masks };
}

/** For each token, the weights of the bits in which its code differs from the signs, added up. */
export function weightedDistances(
  { signs, masks }: WeightedCode,
  codes: Uint32Array,
  tokens: number,
): Uint32Array<ArrayBuffer> {
  const words = signs.length;
  const distances = new Uint32Array(tokens);
  for (const [plane, mask] of masks.entries()) {
    for (let word = 0; word < words; word++) {
      const [sign, bits] = [signs[word], mask[word]];
      for (let token = 0, at = word; token < tokens; token++, at += words) {
        distances[token] += popcount((codes[at] ^ sign) & bits) << plane;
      }
    }
  }
  return distances;
}

/**
 * The function with its results kept for each context and arguments. Methods that differ only in
 * what they make of queries share the codes of keys by it.
 */
export function oncePerContext<Args extends readonly unknown[], Result>(
  compute: (context: TraceContext, ...args: Args) => Result,
): (context: TraceContext, ...args: Args) => Result {
  const known = new WeakMap<TraceContext, { readonly args: Args; readonly result: Result }[]>();
  return (context, ...args) => {
    const results = known.get(context) ?? [];
    known.set(context, results);
    const kept = results.find((each) => each.args.every((arg, i) => arg === args[i]));
    if (kept !== undefined) return kept.result;
    const result = compute(context, ...args);
    results.push({ args, result });
    return result;
  };
}
