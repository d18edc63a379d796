/** Statistics of timing samples: medians, their intervals, noise. */

/** An interval, both bounds included. */
export interface Interval {
  readonly low: number;
  readonly high: number;
}

/** The samples in ascending order. NaN is a fault of the caller. */
function sorted(samples: ArrayLike<number>): Float64Array {
  if (samples.length === 0) throw new RangeError("statistics need at least one sample");
  const ascending = Float64Array.from(samples).sort();
  // NaN sorts last.
  if (Number.isNaN(ascending[ascending.length - 1])) {
    throw new TypeError("statistics need numbers, got NaN");
  }
  return ascending;
}

/** Quantile of ascending values, R's type 7. */
function quantileSorted(ascending: Float64Array, probability: number): number {
  const position = probability * (ascending.length - 1);
  const below = Math.floor(position);
  const above = Math.min(below + 1, ascending.length - 1);
  return ascending[below] + (position - below) * (ascending[above] - ascending[below]);
}

/**
 * Quantile by linear interpolation between order statistics: type 7 of Hyndman and Fan, "Sample
 * Quantiles in Statistical Packages", The American Statistician 50(4), 1996; the default of R and
 * of numpy.
 *
 * @throws {RangeError} without samples, or with a probability outside 0 to 1.
 */
export function quantile(samples: ArrayLike<number>, probability: number): number {
  if (!(probability >= 0 && probability <= 1)) {
    throw new RangeError(`a probability lies between 0 and 1, got ${probability}`);
  }
  return quantileSorted(sorted(samples), probability);
}

/** The median. @throws {RangeError} without samples. */
export function median(samples: ArrayLike<number>): number {
  return quantile(samples, 0.5);
}

/**
 * Largest r such that P(X < r) <= tail for X binomial over n throws of a fair coin; 0 if even
 * P(X < 1) exceeds `tail`. Computed in logarithms, since 2^-n underflows from n = 1075 on.
 */
function lowerRank(n: number, tail: number): number {
  let logTerm = -n * Math.LN2;
  let below = 0;
  for (let rank = 0;; rank++) {
    below += Math.exp(logTerm);
    if (below > tail) return rank;
    logTerm += Math.log((n - rank) / (rank + 1));
  }
}

/**
 * Interval that contains the distribution's median with at least the given `confidence`, for any
 * distribution. The number of samples below the median is binomial with p = 1/2, so the bounds are
 * two order statistics: the r-th smallest and the r-th largest sample (W. J. Conover, Practical
 * Nonparametric Statistics, 3rd ed., 1999, section 3.2). If there are too few samples for the
 * confidence (fewer than 6 for 0.95), the bounds are their minimum and maximum, and the confidence
 * is lower.
 *
 * @throws {RangeError} without samples, or with a confidence outside 0 to 1.
 */
export function medianInterval(samples: ArrayLike<number>, confidence = 0.95): Interval {
  if (!(confidence > 0 && confidence < 1)) {
    throw new RangeError(`a confidence lies between 0 and 1, got ${confidence}`);
  }
  const ascending = sorted(samples);
  const rank = Math.max(1, lowerRank(ascending.length, (1 - confidence) / 2));
  return { low: ascending[rank - 1], high: ascending[ascending.length - rank] };
}

/**
 * Noise in percent: half the interquartile range over the median. A few outliers do not change it.
 *
 * @throws {RangeError} without samples.
 */
export function noisePct(samples: ArrayLike<number>): number {
  const ascending = sorted(samples);
  const range = quantileSorted(ascending, 0.75) - quantileSorted(ascending, 0.25);
  return 100 * (range / 2) / quantileSorted(ascending, 0.5);
}
