/**
 * The score of training, which has gradients and stands for the score of codes. Functions on arrays
 * take ownership of their arguments, as in jax-js.
 */
import { lax, numpy as np } from "@jax-js/jax";
import { PLANE_CLIPS } from "../../../../kernels/encode/reference.ts";
import type { Recipe } from "../recipe.ts";

/** Keeps the quotient of outputs and their root mean square finite. */
const LEAST_SQUARE = 1e-12;

/**
 * The similarity of each query with each key. Without planes, tanh stands for the bits of both. With
 * planes, the sum of the key's signs or of the tanh that stands for them, weighted by the query.
 *
 * @param query Pre-activations [heads, Q, bits].
 * @param key Pre-activations [maps, K, bits]: of as many maps as heads, or of one for all heads.
 * @returns [heads, Q, K].
 */
export function similarityOf(
  { slope, planes, keySigns }: Pick<Recipe, "slope" | "planes" | "keySigns">,
  query: np.Array,
  key: np.Array,
): np.Array {
  const [heads, queries, bits] = query.shape;
  const [maps, keys] = key.shape;
  const weights = planes === 0 ? np.tanh(query.mul(slope)) : weightsOf(query, planes);
  const isSoft = planes === 0 || keySigns === "soft";
  const signs = isSoft ? np.tanh(key.mul(slope)) : signsOf(key, slope);
  const rows = weights.reshape([maps, -1, bits]);
  return np.matmul(rows, np.matrixTranspose(signs)).reshape([heads, queries, keys]);
}

/**
 * The weights of a query's bits before they are rounded to planes: tanh of the outputs over their
 * root mean square, up to the number that has the largest magnitude.
 */
function weightsOf(query: np.Array, planes: number): np.Array {
  const outputs = np.tanh(query);
  const square = np.mean(np.square(outputs.ref), -1, { keepdims: true });
  const clip = PLANE_CLIPS[planes];
  return np.clip(outputs.div(np.sqrt(square.add(LEAST_SQUARE))), -clip, clip);
}

/** The signs of x, -1 for 0, with the gradient of tanh(slope x): a straight-through estimator. */
export function signsOf(x: np.Array, slope: number): np.Array {
  const signs = np.where(np.greater(x.ref, 0), 1, -1);
  const soft = np.tanh(x.mul(slope));
  return soft.ref.add(lax.stopGradient(signs.sub(soft)));
}
