/** Rotated codes: one bit per output of a rotation, and a byte for the length that signs lose. */
import type { TraceContext } from "../../../fixtures/trace.ts";
import {
  type Bins,
  DEFAULT_BINS,
  ROTATED_CODE,
  type TieRule,
} from "../../../kernels/core/problem/problem.ts";
import { packBits } from "../../../kernels/encode/reference.ts";
import { factorByte, factorValue, keyFactor, rotate } from "../../../kernels/encode/rotation.ts";
import { binnedDistance, scaleOf } from "../../../kernels/score/bins.ts";
import type { Selector } from "../selector.ts";
import { oncePerContext, weightedCode, weightedDistances } from "./weighted_codes.ts";

/** Settings of rotated codes. */
export interface RotatedSettings {
  /** Bits of a code: 32, 64 or 128. */
  readonly bits: number;
  /** Magnitude planes of a query code, 0 to 3. */
  readonly planes: number;
  /** Seed of the rotation. */
  readonly seed: number;
  /** Whether the mean of the keys that a query may attend is subtracted (default false). */
  readonly centre?: boolean;
  /** Default {@linkcode DEFAULT_BINS}. */
  readonly bins?: Bins;
  /** Default {@linkcode ROTATED_CODE}'s. */
  readonly ties?: TieRule;
}

/**
 * Ranks tokens by the bins of their scores, in the whole numbers of the kernels. The query heads
 * share the codes of the keys.
 */
export function rotatedSelector(context: TraceContext, settings: RotatedSettings): Selector {
  const { bits, planes, seed, bins = DEFAULT_BINS, ties = ROTATED_CODE.ties } = settings;
  const outputs = rotatedOutputs(context, bits, seed);
  const all = settings.centre ? null : keysOf(outputs, bits);
  return {
    bitsPerToken: bits + 8,
    ties,
    costs({ q, length }) {
      const { codes, factors, squares } = all ?? keysOf(centred(outputs, bits, length), bits);
      const code = weightedCode(rotate(q, bits, seed), planes);
      // The newest key has no part in the scale, as on a device.
      const cached = length - 1;
      const rmsFactor = cached > 0 ? Math.sqrt(squares[cached] / cached) : 0;
      const scale = scaleOf(code.weights, rmsFactor, bins);
      const distances = weightedDistances(code, codes, length);
      for (let token = 0; token < length; token++) {
        distances[token] = binnedDistance(distances[token], factors[token], scale, bins);
      }
      return distances;
    },
  };
}

/** The rotations of all keys, [tokens, bits]. */
const rotatedOutputs = oncePerContext(
  ({ k, kvLen, headDim }: TraceContext, bits: number, seed: number): Float64Array => {
    const outputs = new Float64Array(kvLen * bits);
    for (let token = 0; token < kvLen; token++) {
      const key = k.subarray(token * headDim, (token + 1) * headDim);
      outputs.set(rotate(key, bits, seed), token * bits);
    }
    return outputs;
  },
);

/** The rotations of the first `length` keys less their mean: a rotation is linear. */
function centred(outputs: Float64Array, bits: number, length: number): Float64Array {
  const mean = new Float64Array(bits);
  for (let i = 0; i < length * bits; i++) mean[i % bits] += outputs[i] / length;
  return outputs.subarray(0, length * bits).map((output, i) => output - mean[i % bits]);
}

/** Keys as scores read them. */
interface RotatedKeys {
  /** [tokens, words]. */
  readonly codes: Uint32Array;
  /** The bytes of the factors. */
  readonly factors: Uint8Array;
  /** For each number of first tokens, the squares of their factors' values, added up. */
  readonly squares: Float64Array;
}

function keysOf(outputs: Float64Array, bits: number): RotatedKeys {
  const words = bits / 32;
  const tokens = outputs.length / bits;
  const codes = new Uint32Array(tokens * words);
  const factors = new Uint8Array(tokens);
  const squares = new Float64Array(tokens + 1);
  for (let token = 0; token < tokens; token++) {
    const ofToken = outputs.subarray(token * bits, (token + 1) * bits);
    codes.set(packBits(ofToken), token * words);
    factors[token] = factorByte(keyFactor(ofToken));
    squares[token + 1] = squares[token] + factorValue(factors[token]) ** 2;
  }
  return { codes, factors, squares };
}
