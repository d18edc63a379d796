/**
 * Whether two medians are the same. Pure.
 *
 * The rule is that of equivalence tests by intervals: sameness is shown by an interval that lies
 * within the limits, not by a difference that fails to show (D. J. Schuirmann, "A comparison of the
 * two one-sided tests procedure and the power approach for assessing the equivalence of average
 * bioavailability", Journal of Pharmacokinetics and Biopharmaceutics 15, 1987, 657-680). A
 * difference counts once the interval lies wholly beyond them. An interval over a limit shows
 * neither.
 */
import type { ResultRow } from "../results/row.ts";
import { estimateOf, type Metric } from "./metrics.ts";
import { type Estimate, ratioOf } from "./ratio.ts";

/** Verdicts, in the order in which counts of them are told. */
export const VERDICTS = ["SAME", "FASTER", "SLOWER", "UNSURE", "FAILED", "NO VALUE"] as const;

/**
 * FAILED: a check failed on either side. NO VALUE: the metric is not defined for the row, as bytes
 * per second are not for a probe that moves none.
 */
export type Verdict = (typeof VERDICTS)[number];

/** How far apart two medians of the same thing may lie. */
export interface Limits {
  /** Farthest that a ratio may be from 1, in percent. */
  readonly samePct: number;
  /**
   * Microseconds of a step that runs may differ by on top: what a run's own interval cannot see of
   * the next run. A share of a long step, the most of a short one.
   */
  readonly driftUs: number;
}

/** Limits unless set otherwise. */
export const DEFAULT_LIMITS: Limits = { samePct: 2, driftUs: 0.1 };

/** What became of a row. */
export interface Verified {
  readonly verdict: Verdict;
  /** The other run's metric; null without one. */
  readonly estimate: Estimate | null;
  /** The other run's metric over the base's, with its interval; null without both. */
  readonly ratio: Estimate | null;
  /** How far from 1 the ratio may be, in percent; null without a ratio. */
  readonly limitPct: number | null;
}

/** Compares a row of another run with the base's row of the same kernel and case. */
export function verify(base: ResultRow, row: ResultRow, metric: Metric, limits: Limits): Verified {
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

/** How far from 1 a ratio may be, in percent, where the base takes `us`. */
export function limitPctOf(us: number, { samePct, driftUs }: Limits): number {
  return samePct + driftUs / us * 100;
}

/** The verdict on a ratio of times; up and down are measured alike, as factors. */
export function verdictOf({ low, high }: Estimate, limitPct: number): Verdict {
  const limit = 1 + limitPct / 100;
  if (low > limit) return "SLOWER";
  if (high < 1 / limit) return "FASTER";
  return low >= 1 / limit && high <= limit ? "SAME" : "UNSURE";
}

/** A ratio of a metric as a ratio of times, above 1 for slower. */
export function slowdown(ratio: Estimate, { lowerIsBetter }: Metric): Estimate {
  if (lowerIsBetter) return ratio;
  return { value: 1 / ratio.value, low: 1 / ratio.high, high: 1 / ratio.low };
}
