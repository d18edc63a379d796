/** Dense attention of one query in f64, and attention over a part of the tokens. */

/** Attention of one query over all tokens up to its own. */
export interface DenseAttention {
  /** Dot products of the query with each key, unscaled. */
  readonly dots: Float64Array;
  /** Weights of the tokens, not yet divided by {@linkcode DenseAttention.total}. */
  readonly weights: Float64Array;
  /** Sum of the weights. */
  readonly total: number;
  /** The output; null without values. */
  readonly out: Float64Array | null;
}

/**
 * Dense attention of `q` over the first `length` rows of the keys and values.
 *
 * @param values Null if they are unknown; then there is no output.
 */
export function attendDense(
  q: ArrayLike<number>,
  keys: Float32Array,
  values: Float32Array | null,
  length: number,
): DenseAttention {
  const headDim = q.length;
  const query = Float64Array.from(q);
  const dots = new Float64Array(length);
  let highest = -Infinity;
  for (let token = 0, i = 0; token < length; token++) {
    let dot = 0;
    for (let d = 0; d < headDim; d++, i++) dot += query[d] * keys[i];
    dots[token] = dot;
    if (dot > highest) highest = dot;
  }
  const scale = 1 / Math.sqrt(headDim);
  const weights = dots.map((dot) => Math.exp((dot - highest) * scale));
  const total = sumOf(weights, 0, length);
  if (values === null) return { dots, weights, total, out: null };
  const partial = new PartialAttention(weights, values, headDim);
  partial.addRange(0, length);
  return { dots, weights, total, out: partial.output() };
}

/** The sum of the elements from `start` up to, but not including, `end`. */
export function sumOf(numbers: Float64Array, start: number, end: number): number {
  let sum = 0;
  for (let i = start; i < end; i++) sum += numbers[i];
  return sum;
}

/** Attention over the tokens added so far. */
export class PartialAttention {
  readonly #numerator: Float64Array;
  #mass = 0;

  /** Takes the weights of one query. Without values the output stays zero. */
  constructor(
    private readonly weights: Float64Array,
    private readonly values: Float32Array | null,
    private readonly headDim: number,
  ) {
    this.#numerator = new Float64Array(headDim);
  }

  /** Sum of the weights of the added tokens. */
  get mass(): number {
    return this.#mass;
  }

  /** Adds one token. */
  add(token: number): void {
    const weight = this.weights[token];
    this.#mass += weight;
    if (this.values === null) return;
    const { headDim, values } = this;
    const numerator = this.#numerator;
    for (let d = 0, i = token * headDim; d < headDim; d++, i++) {
      numerator[d] += weight * values[i];
    }
  }

  /** Adds the tokens from `start` up to, but not including, `end`. */
  addRange(start: number, end: number): void {
    for (let token = start; token < end; token++) this.add(token);
  }

  /** The output; zeros if no token was added. */
  output(): Float64Array {
    return this.#numerator.map((sum) => this.#mass > 0 ? sum / this.#mass : 0);
  }
}

/** ||out - wanted|| / ||wanted||; 0 if both are zero. */
export function relativeError(out: ArrayLike<number>, wanted: Float64Array): number {
  let distance2 = 0;
  let norm2 = 0;
  for (let d = 0; d < wanted.length; d++) {
    distance2 += (out[d] - wanted[d]) ** 2;
    norm2 += wanted[d] ** 2;
  }
  return distance2 === 0 ? 0 : Math.sqrt(distance2 / norm2);
}
