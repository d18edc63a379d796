/** References for the decay of attention by forget gates. */

/** The sum of what pruned weights may have at most, as a share of all: ln eps. */
export const LN_EPS = -10;

/** What the kernel multiplies the bound of a logit by, since norms are rounded. */
const SAFETY = 1.00001;

/**
 * The decay below which a block is pruned. Pruned weights are then at most eps / length of the
 * newest token's each.
 *
 * @param queryNorm |q|.
 * @param keyNorm The largest |k| of all tokens.
 */
export function pruneThreshold(
  queryNorm: number,
  keyNorm: number,
  headDim: number,
  length: number,
): number {
  const bound = queryNorm * keyNorm / Math.sqrt(headDim) * SAFETY;
  return LN_EPS - (2 * bound + Math.log(length));
}

/** The Euclidean norm of a row. */
export function normOf(row: ArrayLike<number>): number {
  return Math.sqrt(Array.from(row).reduce((sum, value) => sum + value * value, 0));
}

/** The decays of a sequence of tokens, as they are kept. */
export interface KeptDecays {
  /** [tokens], the decay from each token to the end of its block. */
  readonly decays: Float32Array<ArrayBuffer>;
  /** [blocks], the decay over each block. */
  readonly blocks: Float32Array<ArrayBuffer>;
}

/** The decays that steps leave behind which append these log gates one by one, in f32. */
export function keptDecays(logGates: ArrayLike<number>, blockTokens: number): KeptDecays {
  const decays = new Float32Array(logGates.length);
  const blocks = new Float32Array(Math.ceil(logGates.length / blockTokens));
  for (let first = 0; first < logGates.length; first += blockTokens) {
    const end = Math.min(first + blockTokens, logGates.length);
    for (let token = first; token < end; token++) {
      for (let older = first; older < token; older++) decays[older] += logGates[token];
      blocks[first / blockTokens] += logGates[token];
    }
  }
  return { decays, blocks };
}

/** [blocks], for each block the sum over the later ones, in f64. */
export function laterDecays(blocks: ArrayLike<number>): Float64Array<ArrayBuffer> {
  const later = new Float64Array(blocks.length);
  for (let b = blocks.length - 2; b >= 0; b--) later[b] = later[b + 1] + blocks[b + 1];
  return later;
}
