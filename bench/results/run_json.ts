/**
 * A run as one JSON document for other programs. docs/run-json.md describes it. Valibot validates a
 * document, since it names the place of an error, has no dependencies and is the smallest such
 * library.
 */
import * as v from "valibot";
import { DuplicateNameError, parseStrictJson } from "../../kernels/maps/strict_json.ts";
import { describeFile, RUN_DOCUMENT } from "./file_kinds.ts";
import { AMOUNT, COUNT } from "./columns.ts";
import { isWithinInterval, type ResultRow, ROW, type SampleRecord } from "./row.ts";
import { shortNumber } from "./row_csv.ts";
import { UsageError } from "../base/usage_error.ts";

/** Version of the document. It increases whenever a reader of older documents would go wrong. */
const SCHEMA = 1;

// deno-fmt-ignore
const DEVICE_COLUMNS = [
  "runtime", "adapter", "vendor", "driver", "backend", "software", "timer", "compiler", "toggles",
  "limits",
] as const;

/** Columns that are equal in the whole run. The document has them once. */
const SHARED_COLUMNS = [...DEVICE_COLUMNS, "suite_version", "commit", "seed"] as const;

const DEVICE = v.pick(ROW, DEVICE_COLUMNS);

const SETTINGS = v.strictObject({
  hot: v.boolean(),
  layers: v.optional(COUNT),
  seed: COUNT,
  noise_pct: AMOUNT,
  max_time_s: AMOUNT,
  memory_bytes: AMOUNT,
});

const TIMESTAMP = v.pipe(v.string(), v.isoTimestamp());
const TIMES = v.nullable(v.array(AMOUNT));

/** The other columns, with parameters as an object, and the samples. */
const FIELDS = v.strictObject({
  ...v.omit(ROW, SHARED_COLUMNS).entries,
  // CSV accepts any text, since spreadsheets rewrite times in their own form.
  utc: TIMESTAMP,
  params: v.record(v.string(), v.pipe(v.number(), v.finite())),
  us: TIMES,
  dropped_us: TIMES,
});

const RUN_ROW = v.pipe(
  FIELDS,
  v.check(
    ({ us, samples }) => us === null || us.length === samples,
    "has another number of times in us than samples gives",
  ),
  v.check(
    ({ verified, failure }) => verified === (failure === ""),
    "contradicts itself in verified and failure",
  ),
  v.check((row) => isWithinInterval(row), "has a median_us outside of its ci_low_us to ci_high_us"),
);

const RUN = v.strictObject({
  schema: v.literal(SCHEMA),
  written: TIMESTAMP,
  suite: v.strictObject({ version: v.string(), commit: v.string() }),
  device: DEVICE,
  settings: SETTINGS,
  rows: v.array(RUN_ROW),
});

/** The document of a run. */
export type RunDocument = v.InferOutput<typeof RUN>;

/** The document without its rows and version. */
export type RunFacts = Omit<RunDocument, "rows" | "schema">;

/** The document of a run, with one line per row. Samples are found by time, case and kernel. */
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
        Object.keys(FIELDS.entries).map((name) => [name, all[name as keyof typeof all]]),
      ),
      (_, value) => shortNumber(value),
    );
  });
  const head = JSON.stringify({ schema: SCHEMA, ...facts }, null, 2).replace(/\n\}$/, "");
  return `${head},\n  "rows": [\n    ${lines.join(",\n    ")}\n  ]\n}\n`;
}

/**
 * Reads a document.
 *
 * @param path Names the file in errors.
 * @throws {UsageError} one sentence that names the fault and its place.
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
    throw new UsageError(`${path} is not JSON${hint}.`);
  }
  const schema = (value as { schema?: unknown } | null)?.schema;
  if (typeof schema !== "number" || other !== null) {
    throw new UsageError(`${path} is not a run of the suite${hint}.`);
  }
  if (schema !== SCHEMA) {
    throw new UsageError(`${path} has schema ${schema}; this version reads schema ${SCHEMA}.`);
  }
  const { success, output, issues } = v.safeParse(RUN, value, { abortEarly: true });
  if (success) return output;
  throw new UsageError(`${path}: ${complaint(issues[0])}.`);
}

/** Names of the expectations for which valibot has none. */
const EXPECTED: Readonly<Record<string, string>> = {
  finite: "a finite number",
  iso_timestamp: "a time in ISO 8601",
  safe_integer: "a whole number",
};

/** The fault and its place: `rows.3.median_us is "fast", expected number`. */
function complaint(issue: v.BaseIssue<unknown>): string {
  const place = v.getDotPath(issue) ?? "it";
  if (issue.type === "check") return `${place} ${issue.message}`;
  if (issue.expected === "never") return `${place} is not a field of schema ${SCHEMA}`;
  if (issue.received === "undefined") return `${place} is missing`;
  return `${place} is ${issue.received}, expected ${issue.expected ?? EXPECTED[issue.type]}`;
}

/** The rows of a document in the form of `results.csv`. */
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
