/** How each stage moved as a whole. Pure. */
import { type Metric, METRICS } from "./metrics.ts";
import type { Group } from "./pairing.ts";
import { geometricMean } from "./ratio.ts";
import { type Limits, type Verdict, VERDICTS, verify } from "./verdict.ts";

/** The pairs of one stage, one other run against the base. */
export interface StageSummary {
  readonly stage: string;
  readonly pairs: number;
  /** Geometric mean of the metric's ratios, other over base; null where none has one. */
  readonly meanRatio: number | null;
  /** The same of the shares of each run's own roofline, which compares unlike cards. */
  readonly meanRooflineRatio: number | null;
  readonly verdicts: Readonly<Record<Verdict, number>>;
}

/** Sums up the pairs of the base with the other run of index `other`, by stage as measured. */
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
    const verified = pairs.map(({ base, row }) => verify(base, row, metric, limits));
    const rooflines = pairs.map(({ base, row }) => verify(base, row, METRICS.roofline, limits));
    return {
      stage,
      pairs: pairs.length,
      meanRatio: meanOf(verified),
      meanRooflineRatio: meanOf(rooflines),
      verdicts: Object.fromEntries(
        VERDICTS.map((name) => [name, verified.filter(({ verdict }) => verdict === name).length]),
      ) as Record<Verdict, number>,
    };
  });
}

function meanOf(verified: readonly { ratio: { value: number } | null }[]): number | null {
  const ratios = verified.flatMap(({ ratio }) => ratio ? [ratio.value] : []);
  return ratios.length > 0 ? geometricMean(ratios) : null;
}
