/** Ratios of medians with their intervals. */

/** A value and its 95% interval. */
export interface Estimate {
  readonly value: number;
  readonly low: number;
  readonly high: number;
}

/**
 * The ratio `to / from` of two independent estimates with its 95% interval, from their own
 * intervals by MOVER, the method of variance estimates recovery: G. Y. Zou and A. Donner,
 * "Construction of confidence limits about effect measures: a general approach", Statistics in
 * Medicine 27(10), 2008, 1693-1702. It is applied to the difference of the logarithms, so that a
 * ratio and its inverse have inverse intervals. From each limit it recovers the variance on that
 * side, which suits the lopsided intervals of medians and needs neither a distribution nor the
 * samples.
 *
 * An estimate from 0 to infinity, which nothing bounds, gives such a ratio.
 *
 * @throws {RangeError} unless each value is above 0, finite, and in its interval.
 */
export function ratioOf(from: Estimate, to: Estimate): Estimate {
  for (const { value, low, high } of [from, to]) {
    if (!(low >= 0 && low <= value && value <= high && value > 0 && value < Infinity)) {
      throw new RangeError(`no positive estimate: ${value} in ${low} to ${high}`);
    }
  }
  const log = ({ value, low, high }: Estimate) => ({
    at: Math.log(value),
    below: Math.log(value / low),
    above: Math.log(high / value),
  });
  const [a, b] = [log(from), log(to)];
  const distance = b.at - a.at;
  return {
    value: Math.exp(distance),
    low: Math.exp(distance - Math.hypot(b.below, a.above)),
    high: Math.exp(distance + Math.hypot(b.above, a.below)),
  };
}

/** The geometric mean of positive numbers; NaN without numbers. */
export function geometricMean(values: readonly number[]): number {
  return Math.exp(values.reduce((sum, value) => sum + Math.log(value), 0) / values.length);
}
