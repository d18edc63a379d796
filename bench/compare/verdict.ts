/**
 * Decides whether two medians are the same.
 *
 * The rule is that of equivalence tests by intervals: an interval within the limits shows sameness;
 * a difference that fails to show does not (D. J. Schuirmann, "A comparison of the
 * two one-sided tests procedure and the power approach for assessing the equivalence of average
 * bioavailability", Journal of Pharmacokinetics and Biopharmaceutics 15, 1987, 657-680). A
 * difference counts once the interval lies wholly beyond the limits. An interval that crosses a
 * limit shows neither.
 */
import type { ResultRow } from "../results/row.ts";
import { estimateOf, type Metric, type MetricName } from "./metrics.ts";
import { type Estimate, ratioOf } from "./ratio.ts";

/** Verdicts, in the order in which their counts are shown. */
export const VERDICTS = ["SAME", "FASTER", "SLOWER", "UNSURE", "FAILED", "NO VALUE"] as const;

/**
 * FAILED: a check failed in either run. NO VALUE: the metric is not defined for the row, such as
 * bytes per second for a probe that moves none.
 */
export type Verdict = (typeof VERDICTS)[number];

/**
 * The word for a verdict. A step with a larger share of its own card's roofline is nearer to it, and
 * not faster.
 */
export function verdictWord(verdict: Verdict, metric: MetricName): string {
  const words: Partial<Record<Verdict, string>> = metric === "roofline"
    ? { FASTER: "NEARER", SLOWER: "FARTHER" }
    : {};
  return words[verdict] ?? verdict;
}

/** The limits of the ratio of two medians for SAME. */
export interface Limits {
  /** The percentage by which a ratio may differ from 1. */
  readonly samePct: number;
  /**
   * Microseconds per step by which runs may differ in addition, since the interval of one run does
   * not include drift to the next. This is a small share of a long step and most of a short one.
   */
  readonly driftUs: number;
}

/** The default limits. */
export const DEFAULT_LIMITS: Limits = { samePct: 2, driftUs: 0.1 };

/** The comparison of a pair of rows. */
export interface PairVerdict {
  readonly verdict: Verdict;
  /** The other run's metric; null without one. */
  readonly estimate: Estimate | null;
  /** The other run's metric over the base's, with its interval; null unless both have one. */
  readonly ratio: Estimate | null;
  /** The percentage by which the ratio may differ from 1; null without a ratio. */
  readonly limitPct: number | null;
}

/** Compares a row of another run with the base's row of the same kernel and case. */
export function comparePair(
  base: ResultRow,
  row: ResultRow,
  metric: Metric,
  limits: Limits,
): PairVerdict {
  const estimate = row.verified ? estimateOf(row, metric) : null;
  const from = base.verified ? estimateOf(base, metric) : null;
  const failed = !(base.verified && row.verified);
  if (failed || !from || !estimate) {
    return { verdict: failed ? "FAILED" : "NO VALUE", estimate, ratio: null, limitPct: null };
  }
  const ratio = ratioOf(from, estimate);
  const limitPct = limitPctOf(base.median_us!, limits);
  return { verdict: verdictOf(slowdown(ratio, metric), limitPct), estimate, ratio, limitPct };
}

/** The percentage by which a ratio may differ from 1 if the base takes `us`. */
export function limitPctOf(us: number, { samePct, driftUs }: Limits): number {
  return samePct + driftUs / us * 100;
}

/** The verdict on a ratio of times. A slowdown and its inverse speedup have the same limit. */
export function verdictOf({ low, high }: Estimate, limitPct: number): Verdict {
  const limit = 1 + limitPct / 100;
  if (low > limit) return "SLOWER";
  if (high < 1 / limit) return "FASTER";
  return low >= 1 / limit && high <= limit ? "SAME" : "UNSURE";
}

/** Turns a ratio of a metric into a ratio of times, above 1 for slower. */
export function slowdown(ratio: Estimate, { lowerIsBetter }: Metric): Estimate {
  if (lowerIsBetter) return ratio;
  return { value: 1 / ratio.value, low: 1 / ratio.high, high: 1 / ratio.low };
}
