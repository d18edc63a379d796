/** Rotated codes: one bit per output of a rotation, and a byte for the length that signs lose. */
import type { TraceContext } from "../../fixtures/trace.ts";
import { type Bins, DEFAULT_BINS, ROTATED_CODE, type TieRule } from "../../kernels/core/problem.ts";
import { packBits } from "../../kernels/encode/reference.ts";
import { factorByte, factorValue, keyFactor, rotate } from "../../kernels/encode/rotation.ts";
import { binnedDistance, scaleOf } from "../../kernels/score/bins.ts";
import type { Selector } from "../selection/selector.ts";
import { oncePerContext, weightedCode, weightedDistances } from "./weighted_codes.ts";

/** Settings of rotated codes. */
export interface RotatedSettings {
  /** Bits of a code: 32, 64 or 128. */
  readonly bits: number;
  /** Magnitude planes of a query code, 0 to 3. */
  readonly planes: number;
  /** Seed of the rotation. */
  readonly seed: number;
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
  const { codes, factors, squares } = rotatedKeys(context, bits, seed);
  return {
    bitsPerToken: bits + 8,
    ties,
    costs({ q, length }) {
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

/** The cached keys as scores read them. */
interface RotatedKeys {
  /** [tokens, words]. */
  readonly codes: Uint32Array;
  /** The bytes of the factors. */
  readonly factors: Uint8Array;
  /** For each number of first tokens, the squares of their factors' values, added up. */
  readonly squares: Float64Array;
}

const rotatedKeys = oncePerContext(
  ({ k, kvLen, headDim }: TraceContext, bits: number, seed: number): RotatedKeys => {
    const words = bits / 32;
    const codes = new Uint32Array(kvLen * words);
    const factors = new Uint8Array(kvLen);
    const squares = new Float64Array(kvLen + 1);
    for (let token = 0; token < kvLen; token++) {
      const outputs = rotate(k.subarray(token * headDim, (token + 1) * headDim), bits, seed);
      codes.set(packBits(outputs), token * words);
      factors[token] = factorByte(keyFactor(outputs));
      squares[token + 1] = squares[token] + factorValue(factors[token]) ** 2;
    }
    return { codes, factors, squares };
  },
);
