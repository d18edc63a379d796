/**
 * What the encode kernels must compute, in f64: a stack of linear layers with SiLU between them,
 * and the signs of what comes out as a code.
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
    (input, layer, at) => linear(at === 0 ? input : input.map(silu), layer),
    Float64Array.from(row),
  );
}

/** Packs bit j = (pre_j > 0) into words, LSB first. */
export function packBits(pre: ArrayLike<number>): Uint32Array<ArrayBuffer> {
  const words = new Uint32Array(Math.ceil(pre.length / 32));
  for (let j = 0; j < pre.length; j++) {
    if (pre[j] > 0) words[j >>> 5] |= 1 << (j & 31);
  }
  return words;
}

/** Unit roundoff of f32. */
const ROUNDOFF = 2 ** -24;

/** The largest slope of SiLU, at x = 2.4. */
const SILU_SLOPE = 1.1;

/**
 * How far f32 arithmetic may be from {@linkcode encodeReference}, per bit: where the
 * pre-activation is within this bound, the bit may come out either way.
 *
 * A layer adds n products and a bias. In f32, in any order, with or without fused multiply-adds,
 * that is wrong by at most (n + 1) * 2^-24 * (sum |w||x| + |bias|) to first order; an error e_i of
 * input i adds |w_i| e_i. SiLU multiplies an error by its slope, at most 1.1, and WGSL allows exp
 * 3 + 2|x| ulp, the division 2.5, the sum and a product half each: 7 + 2|x| ulp of 2^-23.
 */
export function encodeErrorBound(
  row: ArrayLike<number>,
  map: readonly MapLayer[],
): Float64Array {
  let input = Float64Array.from(row);
  let error = new Float64Array(input.length);
  map.forEach((layer, at) => {
    if (at > 0) {
      error = error.map((e, i) => {
        const x = input[i];
        return SILU_SLOPE * e + Math.abs(silu(x)) * (7 + 2 * Math.abs(x)) * 2 * ROUNDOFF;
      });
      input = input.map(silu);
    }
    const { weights, bias } = layer;
    const next = Float64Array.from(bias, (b) => Math.abs(b));
    const carried = new Float64Array(next.length);
    for (let i = 0; i < input.length; i++) {
      for (let j = 0; j < next.length; j++) {
        const weight = Math.abs(weights[i * next.length + j]);
        next[j] += weight * (Math.abs(input[i]) + error[i]);
        carried[j] += weight * error[i];
      }
    }
    const terms = input.length + 1;
    input = new Float64Array(linear(input, layer));
    error = next.map((sum, j) => terms * ROUNDOFF * sum + carried[j]);
  });
  return error;
}
