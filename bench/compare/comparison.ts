/** Runs compared with the first of them, all that the formats tell. Pure. */
import { caseName, type ResultRow } from "../results/row.ts";
import { estimateOf, type MetricName, METRICS } from "./metrics.ts";
import { type Pairing, pairRows, type Recording } from "./pairing.ts";
import type { Estimate } from "./ratio.ts";
import { type StageSummary, summarize } from "./summary.ts";
import { type Limits, slowdown, type Verified, verify } from "./verdict.ts";

/** Where and with what a file was measured; several values where its rows differ. */
export interface FileInfo {
  readonly label: string;
  readonly path: string;
  readonly adapter: string;
  readonly driver: string;
  readonly backend: string;
  readonly commit: string;
  /** ISO 8601, of its first row. */
  readonly utc: string;
  readonly software: boolean;
  readonly rows: number;
}

/** A kernel on a case: the base and each other run. */
export interface ComparedRow {
  readonly kernel: string;
  readonly caseId: string;
  readonly stage: string;
  /** The base's metric; null where its check failed or it has none. */
  readonly base: Estimate | null;
  /** Whether its check failed in the base. */
  readonly baseFailed: boolean;
  /** In the order of the other files; null where one has no such row. */
  readonly others: readonly (Verified | null)[];
}

/** The whole comparison. */
export interface Comparison extends Omit<Pairing, "groups"> {
  readonly metric: MetricName;
  readonly limits: Limits;
  /** The base first. */
  readonly files: readonly FileInfo[];
  /** FAILED ones first, then by the size of their largest change. */
  readonly rows: readonly ComparedRow[];
  /** For each other file, in order. */
  readonly stages: readonly (readonly StageSummary[])[];
  /** Whether the files name different adapters. */
  readonly cardsDiffer: boolean;
  /** Samples of the pairs' rows: of the row with fewest, and of that with most. */
  readonly samples: { readonly fewest: number; readonly most: number };
  /** Pairs with fewer samples than a 95% interval of a median takes. */
  readonly fewSamples: number;
  /** Pairs whose kernels ran with different parameters. */
  readonly otherParams: number;
}

/** Fewer than this have no 95% interval of the median. */
const FEWEST_SAMPLES = 6;

/** Compares every recording after the first with the first. */
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
    others: others.map((row) => row && verify(base, row, METRICS[metric], limits)),
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
    cardsDiffer: new Set(files.map(({ adapter }) => adapter)).size > 1,
    samples: {
      fewest: Math.min(...counts),
      most: Math.max(...counts),
    },
    fewSamples:
      pairs.filter((pair) =>
        pair.some(({ verified, samples }) => verified && samples < FEWEST_SAMPLES)
      ).length,
    otherParams: pairs.filter(([a, b]) => a.params !== b.params).length,
  };
}

/**
 * The rows that `--fail-on slower` is about: SLOWER, or surely slower by more than `pct` where it is
 * given, or FAILED where the base is not. Probes tell of the device, not of what runs on it.
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
      // The allowance for drift stays what it is for the row.
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
    commit: all("commit"),
    software: rows.some(({ software }) => software),
  };
}
