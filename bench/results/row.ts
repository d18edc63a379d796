/** A row of results. All code that reads or writes rows follows {@linkcode ROW}. */
import * as v from "valibot";
import { AMOUNT, column, columnNames, COUNT, optionalNames } from "./columns.ts";

const TEXT = v.string();
const STAGE = v.picklist([
  "encode_query",
  "encode_append",
  "encode_prompt",
  "score",
  "select",
  "attend",
  "merge",
  "pipeline",
  "dense",
  "prefill",
  "rival",
  "probe",
]);
const DTYPE = v.picklist(["f16", "bf16", "f32"]);
const SHARING = v.picklist(["head", "kv", "group"]);
const LIMITS = v.picklist(["adapter", "chromium"]);
const LAYOUT = v.picklist(["bhnd", "bnhd", "strided"]);
const CACHE = v.picklist(["cold", "hot"]);
const TIMER = v.picklist(["timestamp", "wall"]);
const SCORE = v.picklist(["hamming", "weighted", "rotated", ""]);
const TIES = v.picklist(["lower", "higher", ""]);
const HAND_OVER = v.picklist(["dispatch", "atomics", "barrier", ""]);
const MAYBE_AMOUNT = v.nullable(AMOUNT);
const MAYBE_COUNT = v.nullable(COUNT);

/** Parameters keep the text that they have in a file of results. */
const JSON_OBJECT = v.pipe(v.string(), v.check(isJsonObject));

/**
 * The columns of `results.csv`, in order, with the values that each may have and its note for
 * docs/results.md. An empty field is null. A new column goes to the end and is optional, since
 * older files lack it. Its default is its value in their rows.
 */
export const ROW = v.strictObject({
  utc: column(TEXT, "When the row was measured (ISO 8601)."),
  suite_version: column(TEXT, "Version of the suite."),
  commit: column(TEXT, "Commit of the code; `+` and a digest follow if it was changed."),
  runtime: column(TEXT, "Runtime and its version, such as `deno 2.9.6`."),
  adapter: column(TEXT, "Name of the WebGPU adapter."),
  vendor: column(TEXT, "Vendor of the adapter."),
  driver: column(TEXT, "Driver and its version."),
  backend: column(TEXT, "Graphics API below WebGPU, such as `vulkan`."),
  software: column(v.boolean(), "Whether the adapter computes on the CPU."),
  case_id: column(TEXT, "What was measured, without how: equal in runs that compare."),
  kernel: column(TEXT, "Name of the kernel variant."),
  stage: column(STAGE, "Stage that the variant does."),
  batch: column(COUNT, "Number of sequences."),
  q_heads: column(COUNT, "Number of query heads."),
  kv_heads: column(COUNT, "Number of KV heads."),
  head_dim: column(COUNT, "Elements of a head's query, key or value."),
  kv_len: column(COUNT, "Tokens of the longest sequence."),
  lengths: column(TEXT, "Tokens of each sequence, separated by spaces; one number if all equal."),
  dtype: column(DTYPE, "Number format of keys and values; queries and outputs are f32."),
  bits: column(COUNT, "Bits of a code."),
  code_sharing: column(SHARING, "Whether each query head has codes of its own, or each KV head."),
  map: column(TEXT, "Map from vectors to codes, such as `mlp3x128-f16`."),
  k: column(COUNT, "Requested number of middle tokens of the longest sequence."),
  selected: column(COUNT, "Number of middle tokens taken of the longest sequence."),
  sink: column(COUNT, "Number of first tokens, which are always attended."),
  recent: column(COUNT, "Number of last tokens, which are always attended."),
  rows: column(
    MAYBE_COUNT,
    "Rows of K that a gather requests, all heads together; of the suite's own steps only.",
  ),
  unique_rows: column(MAYBE_COUNT, "Distinct ones among `rows`: what a perfect cache would read."),
  params: column(JSON_OBJECT, "Parameters of the kernel or operations of the probe, as JSON."),
  workgroup: column(MAYBE_COUNT, "Threads of a workgroup, if that is a parameter."),
  cache: column(CACHE, "Whether a step finds its inputs in a cache."),
  seed: v.optional(column(MAYBE_COUNT, "Seed of generated inputs."), null),
  memory_bytes: v.optional(column(MAYBE_AMOUNT, "Bytes set aside for inputs."), null),
  data_digest: v.optional(column(TEXT, "Digest of the trace and its map (8 hex digits)."), ""),
  timer: column(TIMER, "Clock: the GPU's timestamps, or wall time."),
  steps_per_sample: column(COUNT, "Steps timed together as one sample."),
  sets: column(COUNT, "Input sets that the steps rotate over."),
  touched_bytes: column(
    AMOUNT,
    "Bytes of inputs that one step is expected to touch. A row that several selections of a KV " +
      "head may share counts once, by an estimate for random selections. Tells hot from cold.",
  ),
  median_us: column(MAYBE_AMOUNT, "Median time of a step, in microseconds."),
  ci_low_us: column(MAYBE_AMOUNT, "Low end of the median's 95% interval, in microseconds."),
  ci_high_us: column(MAYBE_AMOUNT, "High end of the median's 95% interval, in microseconds."),
  noise_pct: column(MAYBE_AMOUNT, "Half the interquartile range over the median, in percent."),
  samples: column(COUNT, "Number of samples kept."),
  dropped: column(COUNT, "Number of samples dropped for a low clock or a hidden page."),
  bytes: column(
    AMOUNT,
    "Bytes that a step requests and writes at least; a row counts for each selection that " +
      "requests it.",
  ),
  gbytes_per_s: column(MAYBE_AMOUNT, "`bytes` over `median_us`, in 10^9 bytes per second."),
  gflops_per_s: column(
    MAYBE_AMOUNT,
    "Least operations over `median_us`, in 10^9 per second: floating-point ones, two to a " +
      "multiply-add; popcounts of words for scores and for `probe/popcount`.",
  ),
  dispatches: column(COUNT, "Dispatches of a step."),
  floor_us: column(
    MAYBE_AMOUNT,
    "Roofline, in microseconds: bytes, multiply-adds or popcounts at the probes' rates, " +
      "whichever take longest, plus dispatches at their cost.",
  ),
  roofline_pct: column(MAYBE_AMOUNT, "`floor_us` over `median_us`, in percent."),
  speedup_vs_dense: column(
    MAYBE_AMOUNT,
    "Median of the fastest dense variant of this case over `median_us`; for `dense`, " +
      "`pipeline` and `rival` only.",
  ),
  ns_per_tick: column(MAYBE_AMOUNT, "Nanoseconds per tick of the timestamps."),
  rel_l2_err: column(MAYBE_AMOUNT, "Relative L2 distance from the f64 reference; 0 if exact."),
  verified: column(v.boolean(), "Whether the results passed the check before and after timing."),
  failure: column(TEXT, "What is wrong, with the worst element; empty if verified."),
  clock_grain_ns: v.optional(
    column(MAYBE_AMOUNT, "Nanoseconds between distinct timestamps."),
    null,
  ),
  hand_over: v.optional(
    column(HAND_OVER, "How partials reach the workgroup that merges them."),
    "",
  ),
  score: v.optional(
    column(
      SCORE,
      "How codes rank tokens: by the bits that differ, by bits weighed with magnitudes of the " +
        "query, or by rotated keys of one bit.",
    ),
    "",
  ),
  planes: v.optional(column(MAYBE_COUNT, "Magnitude planes of a query's code."), null),
  ties: v.optional(
    column(TIES, "Which tokens are taken of those that tie for the last place."),
    "",
  ),
  code_bytes: v.optional(
    column(MAYBE_COUNT, "Bytes that a score reads for each token and KV head."),
    null,
  ),
  trace_error: v.optional(
    column(
      MAYBE_AMOUNT,
      "Relative error of the sparse output on a real trace, against dense attention; for " +
        "`pipeline` only.",
    ),
    null,
  ),
  trace_mass: v.optional(
    column(
      MAYBE_AMOUNT,
      "Share of the attention mass that the attended tokens of that trace hold.",
    ),
    null,
  ),
  trace_tokens: v.optional(column(MAYBE_COUNT, "Tokens of that trace."), null),
  compiler: v.optional(column(TEXT, "Compiler of the WGSL: `naga` or `tint`."), ""),
  toggles: v.optional(column(TEXT, "Toggles of Dawn that were turned on."), ""),
  layout: v.optional(
    column(
      LAYOUT,
      "Order of K and V: KV heads before tokens (`bhnd`), tokens before KV heads (`bnhd`), or " +
        "rows with gaps (`strided`); of a paged cache the order within a page.",
    ),
    "bhnd",
  ),
  page_tokens: v.optional(
    column(MAYBE_COUNT, "Tokens of a page of K and V; empty without pages."),
    null,
  ),
  prefix: v.optional(
    column(COUNT, "Tokens of a prefix that all sequences share, which the caches hold once."),
    0,
  ),
  limits: v.optional(
    column(
      LIMITS,
      "Whose limits the device had: the adapter's own, or those of a page in Chromium.",
    ),
    "adapter",
  ),
  wanted_sets: v.optional(
    column(
      MAYBE_COUNT,
      "Sets that keep the steps cold; if they are more than `sets`, memory lacked. Empty for probes.",
    ),
    null,
  ),
});

/** A row of `results.csv`. */
export type ResultRow = Readonly<v.InferOutput<typeof ROW>>;

/** Column names in the order in which they are written. */
export const COLUMNS: readonly (keyof ResultRow)[] = columnNames(ROW);

/** Columns that older files may lack. */
export const LATER_COLUMNS: readonly (keyof ResultRow)[] = optionalNames(ROW);

/** The values of later columns in rows that lack them; undefined for the other columns. */
export const LATER_DEFAULTS = v.getDefaults(ROW);

/** Files round numbers to 6 digits, so a median and a bound of its interval may differ by this. */
const ROUNDING = 2e-5;

/** Whether a median lies in its interval. Null bounds do not count. */
export function isWithinInterval(
  { median_us: median, ci_low_us: low, ci_high_us: high }: Pick<
    ResultRow,
    "median_us" | "ci_low_us" | "ci_high_us"
  >,
): boolean {
  if (median === null) return true;
  const slack = median * ROUNDING;
  return (low === null || low <= median + slack) && (high === null || high >= median - slack);
}

/** Raw samples of one row: a line of `samples.jsonl`. */
export interface SampleRecord {
  /** These four fields are those of the row. */
  readonly utc: string;
  readonly case_id: string;
  readonly kernel: string;
  readonly params: string;
  /** Microseconds per step of each kept sample, in the order measured. */
  readonly us: readonly number[];
  /** Microseconds per step of the samples dropped for a low clock or a hidden page. */
  readonly dropped_us: readonly number[];
}

/** Columns that tell devices and compilers apart. */
const DEVICE = ["adapter", "driver", "backend", "compiler", "toggles", "limits"] as const;

/** The case together with the state of the caches, since hot and cold rows must not be mixed. */
export function caseName({ case_id, cache, stage }: ResultRow): string {
  // The cache state of a probe does not depend on that of the kernels.
  return cache === "hot" && stage !== "probe" ? `${case_id} (hot)` : case_id;
}

/**
 * The last row of each kernel and case on each device, in the order of their first rows. A later
 * run into the same folder replaces the rows that it measures again.
 */
export function latestRows(rows: readonly ResultRow[]): ResultRow[] {
  const nameOf = (row: ResultRow) =>
    JSON.stringify([...DEVICE.map((name) => row[name]), caseName(row), row.kernel]);
  return [...new Map(rows.map((row) => [nameOf(row), row])).values()];
}

/** Takes rows as soon as they are final. */
export interface RowSink {
  /** Takes rows together with their raw samples. */
  append(rows: readonly ResultRow[], samples?: readonly SampleRecord[]): void;
}

function isJsonObject(text: string): boolean {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === "object" && value !== null && !Array.isArray(value);
  } catch {
    return false;
  }
}
