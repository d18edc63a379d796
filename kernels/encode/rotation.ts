/**
 * Rotated codes: `y = H D k`, where D flips the signs of some elements and H is the Hadamard
 * transform. The code of a key has bit j set if y_j > 0, and its factor makes up for the lengths
 * that the signs lose (RaBitQ, arXiv 2405.12497, for ranking by inner products). Nothing is trained.
 */

/** A hash of 32 bits; the kernels have the same one as `hash`. */
export function hash(x: number): number {
  let h = Math.imul(x ^ (x >>> 16), 0x7feb352d);
  h = Math.imul(h ^ (h >>> 15), 0x846ca68b);
  return (h ^ (h >>> 16)) >>> 0;
}

/** The sign of element `d` of a row: the top bit of a hash of the element and the seed. */
export function rotationSign(d: number, seed: number): 1 | -1 {
  return hash((Math.imul(seed, 0x9e3779b9) + d) >>> 0) >>> 31 === 1 ? -1 : 1;
}

/** The width of the transform: the row padded with zeros to a power of two, or the code if wider. */
export function rotationWidth(headDim: number, bits: number): number {
  return Math.max(2 ** Math.ceil(Math.log2(headDim)), bits);
}

/**
 * The first `bits` outputs of the rotation of a row, in f64. The transform is orthonormal.
 *
 * @param row A row of q or K.
 */
export function rotate(row: ArrayLike<number>, bits: number, seed: number): Float64Array {
  const width = rotationWidth(row.length, bits);
  const y = new Float64Array(width);
  for (let d = 0; d < row.length; d++) y[d] = rotationSign(d, seed) * row[d];
  for (let half = 1; half < width; half *= 2) {
    for (let i = 0; i < width; i++) {
      if ((i & half) !== 0) continue;
      const [a, b] = [y[i], y[i + half]];
      y[i] = a + b;
      y[i + half] = a - b;
    }
  }
  return y.subarray(0, bits).map((each) => each / Math.sqrt(width));
}

/** Factors are stored in units of 2^-11. */
const FACTOR_UNIT = 2 ** 11;

/** The factor of a key: |y|^2 / |y|_1 over the outputs that the code keeps; 0 for a zero key. */
export function keyFactor(outputs: ArrayLike<number>): number {
  let squares = 0;
  let magnitudes = 0;
  for (let j = 0; j < outputs.length; j++) {
    squares += outputs[j] * outputs[j];
    magnitudes += Math.abs(outputs[j]);
  }
  return magnitudes === 0 ? 0 : squares / magnitudes;
}

/**
 * A factor as a byte: a number with 4 bits of exponent and 4 of mantissa, rounded to the nearest.
 * Only a zero key has byte 0.
 */
export function factorByte(factor: number): number {
  if (factor === 0) return 0;
  const value = Math.min(factor * FACTOR_UNIT, factorValue(255));
  if (value < 16) return Math.max(1, Math.floor(value + 0.5));
  const exponent = Math.floor(Math.log2(value)) - 4;
  const mantissa = Math.floor(value / 2 ** exponent + 0.5);
  // A mantissa of 32 carries over to the next exponent.
  return Math.min(255, 16 * exponent + mantissa);
}

/** The whole number that a factor's byte stands for, up to 507,904. */
export function factorValue(byte: number): number {
  return byte < 16 ? byte : (16 + (byte & 15)) * 2 ** ((byte >>> 4) - 1);
}
