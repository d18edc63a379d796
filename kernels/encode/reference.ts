/**
 * References in f64 for the encode kernels: a stack of linear layers with SiLU between them, and a
 * code of the signs of the outputs.
 */

/** One linear layer: `out = bias + in * weights`. */
export interface MapLayer {
  /** [in, out], row-major. */
  readonly weights: ArrayLike<number>;
  /** [out]. */
  readonly bias: ArrayLike<number>;
}

function silu(x: number): number {
  return x / (1 + Math.exp(-x));
}

function linear(input: ArrayLike<number>, { weights, bias }: MapLayer): Float64Array {
  const out = Float64Array.from(bias);
  for (let i = 0; i < input.length; i++) {
    for (let j = 0; j < out.length; j++) out[j] += input[i] * weights[i * out.length + j];
  }
  return out;
}

/**
 * The pre-activations of a code, one per bit.
 *
 * @param row A row of q or K.
 */
export function encodeReference(
  row: ArrayLike<number>,
  map: readonly MapLayer[],
): Float64Array {
  return map.reduce<Float64Array>(
    (input, layer, i) => linear(i === 0 ? input : input.map(silu), layer),
    Float64Array.from(row),
  );
}

/** Packs the bits pre[j] > 0 into words, LSB first. */
export function packBits(pre: ArrayLike<number>): Uint32Array<ArrayBuffer> {
  const words = new Uint32Array(Math.ceil(pre.length / 32));
  for (let j = 0; j < pre.length; j++) {
    if (pre[j] > 0) words[j >>> 5] |= 1 << (j & 31);
  }
  return words;
}

/**
 * The largest magnitude of a query's output begins at this many root mean squares, by the number of
 * planes. Chosen by the attention mass that the selections keep.
 */
export const PLANE_CLIPS: readonly number[] = [1, 1.3, 1.8, 2.3];

/**
 * Outputs of a query in units of one magnitude step. The magnitude of output j is
 * min(2^planes - 1, floor(|units[j]| + 1/2)).
 *
 * @param outputs One per bit: of a learned map their tanh, of the rotation as they are.
 */
export function magnitudeUnits(outputs: ArrayLike<number>, planes: number): Float64Array {
  const values = Float64Array.from(outputs);
  const rms = Math.sqrt(values.reduce((sum, y) => sum + y * y, 0) / values.length);
  const step = PLANE_CLIPS[planes] * rms / (2 ** planes - 1);
  return values.map((y) => rms > 0 ? Math.abs(y) / step : 0);
}

/** The magnitude of an output in units of {@linkcode magnitudeUnits}. */
export function magnitudeOf(units: number, planes: number): number {
  return Math.min(2 ** planes - 1, Math.floor(units + 0.5));
}

/** Unit roundoff of f32. */
const ROUNDOFF = 2 ** -24;

/** The largest slope of SiLU, at x = 2.4. */
const SILU_SLOPE = 1.1;

/** Allowed rounding error in standard deviations. */
const DEVIATIONS = 6;

/**
 * The allowed error of f32 arithmetic against {@linkcode encodeReference}, per bit. If the
 * magnitude of the pre-activation is within this bound, the bit may be 0 or 1.
 *
 * Rounding errors are assumed to be independent with mean 0 (Higham and Mary, "A new approach to
 * probabilistic rounding error analysis", 2019), and 6 deviations are allowed. A layer adds n
 * products and a bias. In any order, fused or not, this deviates by at most
 * sqrt(n + 1) * 2^-24 * (sum |w||x| + |bias|). An input that deviates by e_i adds |w_i| e_i, in
 * squares. SiLU multiplies a deviation by its slope, at most 1.1. WGSL allows an error of 3 + 2|x|
 * ulp for exp, 2.5 for the division, and half for the sum and for a product: together 7 + 2|x| ulp
 * of 2^-23 of its result. A worst-case bound would be 50 times as wide after three layers, too wide
 * to find mistakes.
 */
export function encodeErrorBound(
  row: ArrayLike<number>,
  map: readonly MapLayer[],
): Float64Array {
  let input = Float64Array.from(row);
  let variance = new Float64Array(input.length);
  map.forEach((layer, index) => {
    if (index > 0) {
      variance = variance.map((v, i) => {
        const x = input[i];
        const siluError = Math.abs(silu(x)) * (7 + 2 * Math.abs(x)) * 2 * ROUNDOFF;
        return SILU_SLOPE ** 2 * v + siluError ** 2;
      });
      input = input.map(silu);
    }
    const { weights, bias } = layer;
    const magnitude = Float64Array.from(bias, (b) => Math.abs(b));
    const carried = new Float64Array(magnitude.length);
    for (let i = 0; i < input.length; i++) {
      for (let j = 0; j < magnitude.length; j++) {
        const weight = Math.abs(weights[i * magnitude.length + j]);
        magnitude[j] += weight * Math.abs(input[i]);
        carried[j] += weight ** 2 * variance[i];
      }
    }
    const terms = input.length + 1;
    input = new Float64Array(linear(input, layer));
    variance = carried.map((v, j) => v + terms * (ROUNDOFF * magnitude[j]) ** 2);
  });
  return variance.map((v) => DEVIATIONS * Math.sqrt(v));
}
