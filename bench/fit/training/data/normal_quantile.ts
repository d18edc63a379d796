/** Quantiles of the standard normal distribution. */

// deno-fmt-ignore
const CENTRE = [
  2.81022636e-8, 3.43273939e-7, -3.5233877e-6, -4.39150654e-6, 0.00021858087,
  -0.00125372503, -0.00417768164, 0.246640727, 1.50140941,
];

// deno-fmt-ignore
const TAIL = [
  -0.000200214257, 0.000100950558, 0.00134934322, -0.00367342844, 0.00573950773,
  -0.0076224613, 0.00943887047, 1.00167406, 2.83297682,
];

/**
 * The number that a standard normal variable exceeds with probability `share`, accurate to 1e-6.
 * The single-precision version of M. Giles, "Approximating the erfinv function" (GPU Computing
 * Gems, 2011).
 *
 * @param share Above 0 and below 1.
 */
export function normalExceededBy(share: number): number {
  const x = 1 - 2 * share;
  const w = -Math.log(4 * share * (1 - share));
  const [coefficients, t] = w < 5 ? [CENTRE, w - 2.5] : [TAIL, Math.sqrt(w) - 3];
  return Math.SQRT2 * x * coefficients.reduce((sum, coefficient) => sum * t + coefficient, 0);
}
