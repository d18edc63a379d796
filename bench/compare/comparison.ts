/** Compares runs with the first of them; the formats print the result. */
import { cardOf, isCard } from "../results/card.ts";
import { caseName, type ResultRow } from "../results/row.ts";
import { estimateOf, type MetricName, METRICS } from "./metrics.ts";
import { type Pairing, pairRows, type Recording } from "./pairing.ts";
import type { Estimate } from "./ratio.ts";
import { type StageSummary, summarize } from "./summary.ts";
import { comparePair, type Limits, type PairVerdict, slowdown } from "./verdict.ts";

/** The device and the code that a run measured; several values where its rows differ. */
export interface FileInfo {
  readonly label: string;
  readonly path: string;
  readonly adapter: string;
  readonly driver: string;
  readonly backend: string;
  readonly runtime: string;
  readonly commit: string;
  /** The time of its first row, ISO 8601. */
  readonly utc: string;
  readonly software: boolean;
  readonly rows: number;
}

/** A kernel and case in the base and in each other run. */
export interface ComparedRow {
  readonly kernel: string;
  readonly caseId: string;
  readonly stage: string;
  /** The base's metric; null if its check failed or the row has no such number. */
  readonly base: Estimate | null;
  /** Whether the kernel's check failed in the base. */
  readonly baseFailed: boolean;
  /** In the order of the other files; null for a file without the row. */
  readonly others: readonly (PairVerdict | null)[];
}

/** The whole comparison. */
export interface Comparison extends Omit<Pairing, "groups"> {
  readonly metric: MetricName;
  readonly limits: Limits;
  /** The base first. */
  readonly files: readonly FileInfo[];
  /** FAILED rows first, then by the size of the largest change. */
  readonly rows: readonly ComparedRow[];
  /** For each other file, in order. */
  readonly stages: readonly (readonly StageSummary[])[];
  /** Whether the files are of different cards. */
  readonly cardsDiffer: boolean;
  /** The fewest and the most samples of a row in a pair. */
  readonly samples: { readonly fewest: number; readonly most: number };
  /** Number of pairs with fewer samples than a 95% interval of a median needs. */
  readonly fewSamples: number;
  /** Number of pairs whose kernels ran with different parameters. */
  readonly otherParams: number;
  /** Number of pairs of cold steps one of which rotated over more than twice as many inputs. */
  readonly otherSets: number;
}

/** Fewer samples than this give no 95% interval of the median. */
const FEWEST_SAMPLES = 6;

/** Compares every other recording with the first one. */
export function compareRuns(
  recordings: readonly Recording[],
  metric: MetricName,
  limits: Limits,
): Comparison {
  const { groups, ...rest } = pairRows(recordings);
  const files = recordings.map(describe);
  const pairs = groups.flatMap(({ base, others }) =>
    others.flatMap((row) => row ? [[base, row] as const] : [])
  );
  const counts = pairs.flatMap((pair) => pair.map(({ samples }) => samples));
  const rows = groups.map(({ base, others }): ComparedRow => ({
    kernel: base.kernel,
    caseId: caseName(base),
    stage: base.stage,
    base: base.verified ? estimateOf(base, METRICS[metric]) : null,
    baseFailed: !base.verified,
    others: others.map((row) => row && comparePair(base, row, METRICS[metric], limits)),
  }));
  return {
    ...rest,
    metric,
    limits,
    files,
    rows: rows.map((row) => ({ row, size: sizeOf(row) }))
      .sort((a, b) => a.size === b.size ? 0 : b.size - a.size)
      .map(({ row }) => row),
    stages: recordings.slice(1).map((_, i) => summarize(groups, i, METRICS[metric], limits)),
    cardsDiffer: new Set(files.map(({ adapter }) => cardOf(adapter)).filter(isCard)).size > 1,
    samples: {
      fewest: Math.min(...counts),
      most: Math.max(...counts),
    },
    fewSamples:
      pairs.filter((pair) =>
        pair.some(({ verified, samples }) => verified && samples < FEWEST_SAMPLES)
      ).length,
    otherParams: pairs.filter(([a, b]) => a.params !== b.params).length,
    otherSets: pairs.filter(([a, b]) =>
      a.stage !== "probe" && a.cache === "cold" &&
      Math.max(a.sets, b.sets) > 2 * Math.min(a.sets, b.sets)
    ).length,
  };
}

/**
 * The rows that make `--fail-on slower` fail: rows that are SLOWER (if `pct` is given: slower by
 * more than `pct` with confidence), or FAILED although the base is not. Probes do not count, since
 * they measure the device and not the code.
 */
export function slowerRows(
  { rows, metric, limits }: Comparison,
  pct: number | null,
): ComparedRow[] {
  return rows.filter(({ stage, baseFailed, others }) =>
    stage !== "probe" && others.some((other) => {
      if (!other) return false;
      if (other.verdict === "FAILED") return !baseFailed;
      if (pct === null || !other.ratio) return other.verdict === "SLOWER";
      // `pct` replaces `samePct`; the row's allowance for drift stays.
      const limit = 1 + (other.limitPct! - limits.samePct + pct) / 100;
      return slowdown(other.ratio, METRICS[metric]).low > limit;
    })
  );
}

function sizeOf({ others }: ComparedRow): number {
  return Math.max(...others.map((other) => {
    if (!other || other.verdict === "NO VALUE") return -1;
    return other.ratio ? Math.abs(Math.log(other.ratio.value)) : Infinity;
  }));
}

function describe({ label, path, rows }: Recording): FileInfo {
  const all = (name: keyof ResultRow) => [...new Set(rows.map((row) => row[name]))].join(" + ");
  return {
    label,
    path,
    utc: rows[0].utc,
    rows: rows.length,
    adapter: all("adapter"),
    driver: all("driver"),
    backend: all("backend"),
    runtime: all("runtime"),
    commit: all("commit"),
    software: rows.some(({ software }) => software),
  };
}
