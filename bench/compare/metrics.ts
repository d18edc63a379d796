/** The metrics that rows are compared by. */
import type { ResultRow } from "../results/row.ts";
import type { Estimate } from "./ratio.ts";

/** The names of the metrics in `--metric`. */
export const METRIC_NAMES = ["time", "gbytes", "roofline"] as const;

/** One of {@linkcode METRIC_NAMES}. */
export type MetricName = (typeof METRIC_NAMES)[number];

/** One number of a row, and whether a lower one is better. */
export interface Metric {
  readonly unit: string;
  readonly description: string;
  readonly lowerIsBetter: boolean;
  /** The row's number at its median time; null if the row has none. */
  valueOf(row: ResultRow): number | null;
}

/** The metrics. All except the time divide a number that is fixed in a run by the time. */
export const METRICS: Readonly<Record<MetricName, Metric>> = {
  time: {
    unit: "us",
    description: "median microseconds per step",
    lowerIsBetter: true,
    valueOf: (row) => row.median_us,
  },
  gbytes: {
    unit: "GB/s",
    description: "least bytes of the step over its median",
    lowerIsBetter: false,
    valueOf: (row) => row.gbytes_per_s,
  },
  roofline: {
    unit: "% roofline",
    description: "the roofline that the run's own probes give, over the median",
    lowerIsBetter: false,
    valueOf: (row) => row.roofline_pct,
  },
};

/**
 * The metric of a row, with an interval that follows from its median's interval; null if the row
 * has no such number. Where samples were too few for an interval, nothing bounds the value.
 */
export function estimateOf(row: ResultRow, { valueOf, lowerIsBetter }: Metric): Estimate | null {
  const { median_us: us, ci_low_us: low, ci_high_us: high } = row;
  const value = valueOf(row);
  if (!(value && us && value > 0)) return null;
  if (low === null || high === null) return { value, low: 0, high: Infinity };
  if (!(low > 0)) return null;
  // Numbers are written to 6 digits, so rounding can move the median out of a narrow interval.
  const [down, up] = [Math.min(1, low / us), Math.max(1, high / us)];
  return lowerIsBetter
    ? { value, low: value * down, high: value * up }
    : { value, low: value / up, high: value / down };
}
