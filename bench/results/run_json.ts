/**
 * A run as one JSON document for other programs; docs/run-json.md describes it. Valibot checks what is
 * read: it tells the place of what is wrong, has no dependencies and is the smallest such library.
 */
import * as v from "valibot";
import { DuplicateNameError, parseStrictJson } from "../../kernels/maps/strict_json.ts";
import { describeFile, RUN_DOCUMENT } from "./file_kinds.ts";
import type { ResultRow, SampleRecord } from "./row.ts";
import { shortNumber } from "./row_csv.ts";
import { UsageError } from "../base/usage_error.ts";

/** Goes up whenever a reader of the older form would go wrong. */
const SCHEMA = 1;

/** Columns that the document tells once, since all rows of a run share them. */
type Shared = keyof v.InferOutput<typeof DEVICE> | "suite_version" | "commit" | "seed";

const text = v.string();
const number = v.pipe(v.number(), v.finite());
const amount = v.pipe(number, v.minValue(0));
const count = v.pipe(amount, v.integer());

const DEVICE = v.strictObject({
  adapter: text,
  vendor: text,
  driver: text,
  backend: text,
  software: v.boolean(),
  runtime: text,
  timer: v.picklist(["timestamp", "wall"]),
});

const SETTINGS = v.strictObject({
  hot: v.boolean(),
  seed: count,
  noise_pct: amount,
  max_time_s: amount,
  memory_bytes: amount,
});

const ROW_FIELDS = {
  utc: v.pipe(text, v.isoTimestamp()),
  case_id: text,
  kernel: text,
  stage: v.picklist([
    ...["encode_query", "encode_append", "encode_prompt", "score", "select", "attend"] as const,
    ...["merge", "pipeline", "dense", "prefill", "probe"] as const,
  ]),
  batch: count,
  q_heads: count,
  kv_heads: count,
  head_dim: count,
  kv_len: count,
  lengths: text,
  dtype: v.picklist(["f16", "bf16", "f32"]),
  bits: count,
  code_sharing: v.picklist(["head", "group"]),
  map: text,
  k: count,
  selected: count,
  sink: count,
  recent: count,
  rows: v.nullable(count),
  unique_rows: v.nullable(count),
  params: v.record(text, number),
  workgroup: v.nullable(count),
  cache: v.picklist(["cold", "hot"]),
  memory_bytes: v.nullable(amount),
  data_digest: text,
  steps_per_sample: count,
  sets: count,
  touched_bytes: amount,
  median_us: v.nullable(amount),
  ci_low_us: v.nullable(amount),
  ci_high_us: v.nullable(amount),
  noise_pct: v.nullable(amount),
  samples: count,
  dropped: count,
  bytes: amount,
  gbytes_per_s: v.nullable(amount),
  gflops_per_s: v.nullable(amount),
  dispatches: count,
  floor_us: v.nullable(amount),
  roofline_pct: v.nullable(amount),
  speedup_vs_dense: v.nullable(amount),
  ns_per_tick: v.nullable(amount),
  rel_l2_err: v.nullable(amount),
  verified: v.boolean(),
  failure: text,
  // Documents that were written before there was this column lack it.
  clock_grain_ns: v.optional(v.nullable(amount), null),
  hand_over: v.optional(v.picklist(["dispatch", "atomics", "barrier", ""]), ""),
  us: v.nullable(v.array(amount)),
  dropped_us: v.nullable(v.array(amount)),
} satisfies Record<Exclude<keyof ResultRow, Shared> | "us" | "dropped_us", v.GenericSchema>;

/** Columns of a row that hold one of a few words. */
export const WORDS = ["stage", "dtype", "code_sharing", "cache", "timer", "hand_over"] as const;

/** Whether a text is one of the words that a column may hold. */
export function isWord(column: (typeof WORDS)[number], text: string): boolean {
  return v.is(column === "timer" ? DEVICE.entries.timer : ROW_FIELDS[column], text);
}

/** Numbers of files have 6 digits, so that two may come apart by this share. */
const ROUNDING = 2e-5;

/** Whether a median lies in its interval, as far as both are known. */
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

const ROW = v.pipe(
  v.strictObject(ROW_FIELDS),
  v.check(
    ({ us, samples }) => us === null || us.length === samples,
    "has another number of us than samples says",
  ),
  v.check(
    ({ verified, failure }) => verified === (failure === ""),
    "contradicts itself in verified and failure",
  ),
  v.check((row) => isWithinInterval(row), "has a median_us outside of its ci_low_us to ci_high_us"),
);

const RUN = v.strictObject({
  schema: v.literal(SCHEMA),
  written: v.pipe(text, v.isoTimestamp()),
  suite: v.strictObject({ version: text, commit: text }),
  device: DEVICE,
  settings: SETTINGS,
  rows: v.array(ROW),
});

/** A run as the document has it. */
export type RunDocument = v.InferOutput<typeof RUN>;

/** What the document tells of a run besides its rows. */
export type RunFacts = Omit<RunDocument, "rows" | "schema">;

/** The document of a run: a line for each row. Samples are found by time, case and kernel. */
export function runJson(
  facts: RunFacts,
  rows: readonly ResultRow[],
  samples: readonly SampleRecord[],
): string {
  const nameOf = ({ utc, case_id, kernel }: ResultRow | SampleRecord) =>
    JSON.stringify([utc, case_id, kernel]);
  const records = new Map(samples.map((record) => [nameOf(record), record]));
  const lines = rows.map((row) => {
    const { us, dropped_us } = records.get(nameOf(row)) ?? { us: null, dropped_us: null };
    const all = { ...row, params: JSON.parse(row.params), us, dropped_us };
    return JSON.stringify(
      Object.fromEntries(
        Object.keys(ROW_FIELDS).map((name) => [name, all[name as keyof typeof all]]),
      ),
      (_, value) => shortNumber(value),
    );
  });
  const head = JSON.stringify({ schema: SCHEMA, ...facts }, null, 2).replace(/\n\}$/, "");
  return `${head},\n  "rows": [\n    ${lines.join(",\n    ")}\n  ]\n}\n`;
}

/**
 * What a document's text says.
 *
 * @param path Names the file in errors.
 * @throws {UsageError} one sentence on what is wrong, and where.
 */
export function parseRun(json: string, path: string): RunDocument {
  const found = describeFile(json);
  const other = found === RUN_DOCUMENT ? null : found;
  const hint = other === null ? "" : `: it is ${other}`;
  let value: unknown;
  try {
    value = parseStrictJson(json.replace(/^\ufeff/, ""));
  } catch (error) {
    if (error instanceof DuplicateNameError) throw new UsageError(`${path}: ${error.message}.`);
    throw new UsageError(`${path} is no JSON${hint === "" ? "" : ` document${hint}`}.`);
  }
  const schema = (value as { schema?: unknown } | null)?.schema;
  if (typeof schema !== "number" || other !== null) {
    throw new UsageError(`${path} is no run of the suite${hint}.`);
  }
  if (schema !== SCHEMA) {
    throw new UsageError(`${path} has schema ${schema}, this version reads ${SCHEMA}.`);
  }
  const { success, output, issues } = v.safeParse(RUN, value, { abortEarly: true });
  if (success) return output;
  throw new UsageError(`${path}: ${complaint(issues[0])}.`);
}

/** What is wrong and where: `rows.3.median_us is "fast" where number is due`. */
function complaint(issue: v.BaseIssue<unknown>): string {
  const place = v.getDotPath(issue) ?? "it";
  if (issue.type === "check") return `${place} ${issue.message}`;
  if (issue.expected === "never") return `${place} is no field of schema ${SCHEMA}`;
  if (issue.received === "undefined") return `${place} is missing`;
  return `${place} is ${issue.received} where ${issue.expected} is due`;
}

/** The rows of a document as `results.csv` has them. */
export function rowsOfRun({ suite, device, settings, rows }: RunDocument): ResultRow[] {
  return rows.map(({ us: _us, dropped_us: _dropped, params, ...row }) => ({
    ...row,
    params: JSON.stringify(params),
    suite_version: suite.version,
    commit: suite.commit,
    ...device,
    seed: settings.seed,
  }));
}
