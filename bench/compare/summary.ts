/** Sums up the pairs of each stage. */
import { type Metric, METRICS } from "./metrics.ts";
import type { Group } from "./pairing.ts";
import { geometricMean } from "./ratio.ts";
import { comparePair, type Limits, type Verdict, VERDICTS } from "./verdict.ts";

/** The pairs of one stage in the base and one other run. */
export interface StageSummary {
  readonly stage: string;
  readonly pairs: number;
  /** Geometric mean of the metric's ratios, other over base; null if no pair has a ratio. */
  readonly meanRatio: number | null;
  /** The same for the shares of each run's own roofline, which makes different cards comparable. */
  readonly meanRooflineRatio: number | null;
  readonly verdicts: Readonly<Record<Verdict, number>>;
}

/** Sums up the pairs of the base and the other run of index `other`, in the order of stages. */
export function summarize(
  groups: readonly Group[],
  other: number,
  metric: Metric,
  limits: Limits,
): StageSummary[] {
  const paired = groups.flatMap(({ base, others }) => {
    const row = others[other];
    return row ? [{ base, row }] : [];
  });
  return Array.from(Map.groupBy(paired, ({ base }) => base.stage), ([stage, pairs]) => {
    const compared = pairs.map(({ base, row }) => comparePair(base, row, metric, limits));
    const byRoofline = pairs.map(({ base, row }) =>
      comparePair(base, row, METRICS.roofline, limits)
    );
    return {
      stage,
      pairs: pairs.length,
      meanRatio: meanOf(compared),
      meanRooflineRatio: meanOf(byRoofline),
      verdicts: Object.fromEntries(
        VERDICTS.map((name) => [name, compared.filter(({ verdict }) => verdict === name).length]),
      ) as Record<Verdict, number>,
    };
  });
}

function meanOf(compared: readonly { ratio: { value: number } | null }[]): number | null {
  const ratios = compared.flatMap(({ ratio }) => ratio ? [ratio.value] : []);
  return ratios.length > 0 ? geometricMean(ratios) : null;
}
