/**
 * Activations whose values and gradients stay finite for every f32. jax-js's own `sigmoid`, `silu`
 * and `softplus` overflow at -88 or 88, and their gradients become NaN.
 */
import { numpy as np } from "@jax-js/jax";

/** 1 / (1 + exp(-x)). */
export function sigmoid(x: np.Array): np.Array {
  return np.tanh(x.mul(0.5)).mul(0.5).add(0.5);
}

/** x sigmoid(x). */
export function silu(x: np.Array): np.Array {
  return x.ref.mul(sigmoid(x));
}

/** log(1 + exp(x)). */
export function softplus(x: np.Array): np.Array {
  return np.logaddexp(x, 0);
}
