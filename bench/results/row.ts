/** One measurement as it is written: the columns of `results.csv`, in order. Pure. */
import type { CodeSharing, KvDtype } from "../../kernels/core/problem.ts";
import type { HandOver, Stage } from "../../kernels/core/variant.ts";

/** A row of `results.csv`. Times are empty (null) where the check failed. */
export interface ResultRow {
  /** ISO 8601, when the row was measured. */
  readonly utc: string;
  readonly suite_version: string;
  /** The code that ran: see `revision.ts`. */
  readonly commit: string;
  readonly runtime: string;
  readonly adapter: string;
  readonly vendor: string;
  readonly driver: string;
  readonly backend: string;
  readonly software: boolean;
  /** What was measured, without how: equal in runs that can be compared. */
  readonly case_id: string;
  readonly kernel: string;
  readonly stage: Stage;
  readonly batch: number;
  readonly q_heads: number;
  readonly kv_heads: number;
  readonly head_dim: number;
  /** Tokens of the longest sequence. */
  readonly kv_len: number;
  /** Tokens of each sequence, separated by spaces; one number where all have as many. */
  readonly lengths: string;
  readonly dtype: KvDtype;
  readonly bits: number;
  readonly code_sharing: CodeSharing;
  /** The map to Hamming space, such as `mlp3x128-f16`. */
  readonly map: string;
  /** Requested middle tokens of the longest sequence. */
  readonly k: number;
  /** Middle tokens taken (k_eff) of the longest sequence. */
  readonly selected: number;
  readonly sink: number;
  readonly recent: number;
  /** Rows of K that a gather requests, all heads together; null where nothing is gathered. */
  readonly rows: number | null;
  /** Distinct rows among them: what a perfect cache would read. */
  readonly unique_rows: number | null;
  /** Parameters of the kernel, as JSON. */
  readonly params: string;
  readonly workgroup: number | null;
  readonly cache: "cold" | "hot";
  /** Seed of generated inputs; null in files that lack it. */
  readonly seed: number | null;
  /** Bytes set aside for inputs, which may be fewer than cold sets want; null in files that lack it. */
  readonly memory_bytes: number | null;
  /** 8 hex digits of the trace and its map; empty for generated inputs. */
  readonly data_digest: string;
  readonly timer: "timestamp" | "wall";
  readonly steps_per_sample: number;
  /** Input sets that the steps rotate over. */
  readonly sets: number;
  /** Bytes that one step touches. */
  readonly touched_bytes: number;
  readonly median_us: number | null;
  /** 95% interval of the median. */
  readonly ci_low_us: number | null;
  readonly ci_high_us: number | null;
  /** Half the interquartile range over the median, in percent. */
  readonly noise_pct: number | null;
  readonly samples: number;
  /** Samples dropped because the clock was low. */
  readonly dropped: number;
  readonly bytes: number;
  readonly gbytes_per_s: number | null;
  /**
   * Thousand million operations per second: floating-point ones that the step cannot do without,
   * two to a multiply-add; popcounts of words for scores and for `probe/popcount`.
   */
  readonly gflops_per_s: number | null;
  readonly dispatches: number;
  /** Bytes or arithmetic at the probes' rates, whichever is more, plus dispatches at their cost. */
  readonly floor_us: number | null;
  /** floor_us / median_us in percent. */
  readonly roofline_pct: number | null;
  /** Median of the best dense variant of this case over this one's; dense and pipeline only. */
  readonly speedup_vs_dense: number | null;
  readonly ns_per_tick: number | null;
  /** ||out - ref|| / ||ref||; 0 for exact stages that agree. */
  readonly rel_l2_err: number | null;
  readonly verified: boolean;
  /** What was wrong, with the worst element; empty where verified. */
  readonly failure: string;
  /** Nanoseconds between neighbouring values of a timestamp; null for wall time. */
  readonly clock_grain_ns: number | null;
  /** How partials reach whoever merges them; empty where nothing is handed over. */
  readonly hand_over: HandOver | "";
}

/** Column names in the order in which they are written. */
export const COLUMNS: readonly (keyof ResultRow)[] = [
  "utc",
  "suite_version",
  "commit",
  "runtime",
  "adapter",
  "vendor",
  "driver",
  "backend",
  "software",
  "case_id",
  "kernel",
  "stage",
  "batch",
  "q_heads",
  "kv_heads",
  "head_dim",
  "kv_len",
  "lengths",
  "dtype",
  "bits",
  "code_sharing",
  "map",
  "k",
  "selected",
  "sink",
  "recent",
  "rows",
  "unique_rows",
  "params",
  "workgroup",
  "cache",
  "seed",
  "memory_bytes",
  "data_digest",
  "timer",
  "steps_per_sample",
  "sets",
  "touched_bytes",
  "median_us",
  "ci_low_us",
  "ci_high_us",
  "noise_pct",
  "samples",
  "dropped",
  "bytes",
  "gbytes_per_s",
  "gflops_per_s",
  "dispatches",
  "floor_us",
  "roofline_pct",
  "speedup_vs_dense",
  "ns_per_tick",
  "rel_l2_err",
  "verified",
  "failure",
  "clock_grain_ns",
  "hand_over",
];

/** Columns that came later: a file may lack any of them. */
export const LATER_COLUMNS: readonly (keyof ResultRow)[] = [
  "seed",
  "memory_bytes",
  "data_digest",
  "clock_grain_ns",
  "hand_over",
];

/** Raw samples of one row: a line of `samples.jsonl`. */
export interface SampleRecord {
  /** When, which case and which kernel: those of the row. */
  readonly utc: string;
  readonly case_id: string;
  readonly kernel: string;
  readonly params: string;
  /** Microseconds per step of each kept sample, in the order measured. */
  readonly us: readonly number[];
  /** Microseconds per step of the samples dropped for a low clock. */
  readonly dropped_us: readonly number[];
}

/** The case as measured: caches left hot make another measurement of it. */
export function caseName({ case_id, cache, stage }: ResultRow): string {
  // Probes always run hot, or always cold, whatever the kernels do.
  return cache === "hot" && stage !== "probe" ? `${case_id} (hot)` : case_id;
}

/**
 * The last row of each kernel and case on each device, in the order of the first ones: a later run
 * into the same folder replaces what it measured again.
 */
export function latestRows(rows: readonly ResultRow[]): ResultRow[] {
  const nameOf = (row: ResultRow) =>
    JSON.stringify([row.adapter, row.driver, row.backend, caseName(row), row.kernel]);
  return [...new Map(rows.map((row) => [nameOf(row), row])).values()];
}

/** Takes rows as soon as they are final. */
export interface RowSink {
  /** Takes rows together with their raw samples. */
  append(rows: readonly ResultRow[], samples?: readonly SampleRecord[]): void;
}
