/** Rows of `frontier`: the error and the time of a method at a budget, and their CSV. */
import { stringify } from "@std/csv";
import * as v from "valibot";
import { AMOUNT, column, columnNames, COUNT, parseRows } from "./columns.ts";
import { shortNumber } from "./row_csv.ts";

const TEXT = v.string();
const MAYBE_AMOUNT = v.nullable(AMOUNT);
const MAYBE_COUNT = v.nullable(COUNT);

/**
 * The columns of `frontier.csv`, in order, with their notes for docs/results.md. A new column goes to
 * the end and is optional, since older files lack it.
 */
export const FRONTIER_ROW = v.strictObject({
  method: column(TEXT, "Method that selects tokens."),
  budget: column(MAYBE_COUNT, "S of a budget of k = N/S tokens; empty for windows alone."),
  planes: column(MAYBE_COUNT, "Magnitude planes of a query's code; empty without codes."),
  bytes_per_token: column(AMOUNT, "Bytes that a step reads to find tokens, per token and KV head."),
  error: column(
    MAYBE_AMOUNT,
    "Mean relative L2 distance of the step's output from dense attention's, over the queries of " +
      "the trace's last quarter and all heads; empty if it is not a number.",
  ),
  mass: column(MAYBE_AMOUNT, "Mean share of a query's attention mass that the step attends."),
  us: column(MAYBE_AMOUNT, "Median time of a step at `kv_len` tokens, in microseconds."),
  ratio: column(MAYBE_AMOUNT, "`dense_us` over `us`."),
  dense_us: column(
    MAYBE_AMOUNT,
    "Median time of dense attention that took turns with the step, in microseconds.",
  ),
  kv_len: column(COUNT, "Tokens of the sequence that is timed."),
  trace: column(TEXT, "Name of the trace whose error it is."),
  trace_tokens: column(COUNT, "Tokens of that trace."),
  queries: column(COUNT, "Queries measured, each with all its heads."),
  shape: column(TEXT, "Query heads x KV heads x head dim of the step."),
  kernel: column(TEXT, "Variant that was timed: the fastest of the method's."),
  dense_kernel: column(TEXT, "Variant of dense attention."),
  bytes: column(AMOUNT, "Least bytes that the step must move."),
  dense_bytes: column(AMOUNT, "Least bytes that dense attention must move."),
  us_low: column(MAYBE_AMOUNT, "Low end of the 95% interval of `us`."),
  us_high: column(MAYBE_AMOUNT, "High end of the 95% interval of `us`."),
  samples: column(COUNT, "Samples of `us`; 0 on a software adapter, which is not timed."),
  sets: column(COUNT, "Input sets that the timed steps rotate over."),
  layers: column(COUNT, "Least number of sets that was asked for, as a model has layers."),
  sink: column(COUNT, "Number of first tokens, which are always attended."),
  recent: column(COUNT, "Number of last tokens, which are always attended."),
  seed: column(COUNT, "Seed of generated inputs and of k-means."),
  data_digest: column(TEXT, "Digest of the trace and its maps (8 hex digits)."),
  utc: column(TEXT, "When the row was measured (ISO 8601)."),
  suite_version: column(TEXT, "Version of the suite."),
  commit: column(TEXT, "Commit of the code; `+` and a digest follow if it was changed."),
  runtime: column(TEXT, "Runtime and its version."),
  adapter: column(TEXT, "Name of the WebGPU adapter."),
  vendor: column(TEXT, "Vendor of the adapter."),
  driver: column(TEXT, "Driver and its version."),
  backend: column(TEXT, "Graphics API below WebGPU."),
  software: column(v.boolean(), "Whether the adapter computes on the CPU."),
  compiler: column(TEXT, "Compiler of the WGSL: `naga` or `tint`."),
  toggles: column(TEXT, "Toggles of Dawn that were turned on."),
  limits: v.optional(
    column(
      v.picklist(["adapter", "chromium"]),
      "Whose limits the device had: the adapter's own, or those of a page in Chromium.",
    ),
    "adapter",
  ),
});

/** A row of `frontier.csv`: one method at one budget, on one trace and at one KV length. */
export type FrontierRow = Readonly<v.InferOutput<typeof FRONTIER_ROW>>;

/** Column names in the order in which they are written. */
export const FRONTIER_COLUMNS: readonly (keyof FrontierRow)[] = columnNames(FRONTIER_ROW);

/** The first line of a file. */
export const FRONTIER_HEADER = stringify([[...FRONTIER_COLUMNS]]);

/** The row as a file has it: numbers of 6 digits, and none that is not finite. */
export function storedRow(row: FrontierRow): FrontierRow {
  const field = (value: unknown) =>
    typeof value === "number" && !Number.isFinite(value) ? null : shortNumber(value);
  return Object.fromEntries(
    FRONTIER_COLUMNS.map((name) => [name, field(row[name])]),
  ) as unknown as FrontierRow;
}

/** Rows as lines of a file. */
export function frontierLines(rows: readonly FrontierRow[]): string {
  if (rows.length === 0) return "";
  return stringify(rows.map(storedRow).map((row) => FRONTIER_COLUMNS.map((name) => row[name])));
}

/**
 * The rows of a file's text. A killed run may leave a last line without a line break, which is
 * dropped.
 *
 * @param path Names the file in errors.
 * @throws {UsageError} for other columns, or naming the first damaged line.
 */
export function parseFrontier(text: string, path: string): FrontierRow[] {
  const whole = text.slice(0, text.lastIndexOf("\n") + 1);
  const lines = parseRows(whole, FRONTIER_ROW, { path, expected: "frontier writes" });
  return lines.map(({ row }) => row);
}

/** Columns of the machine and the code, which rows of one measurement share. */
export const CONDITIONS = [
  "shape",
  "layers",
  "sink",
  "recent",
  "seed",
  "commit",
  "runtime",
  "adapter",
  "driver",
  "backend",
  "compiler",
  "toggles",
  "limits",
] as const satisfies readonly (keyof FrontierRow)[];

/** The last row of each method, budget, length and trace under each condition, in their order. */
export function latestFrontier(rows: readonly FrontierRow[]): FrontierRow[] {
  const nameOf = (row: FrontierRow) =>
    JSON.stringify(
      [...CONDITIONS, "method", "budget", "kv_len", "trace"].map((name) =>
        row[name as keyof FrontierRow]
      ),
    );
  return [...new Map(rows.map((row) => [nameOf(row), row])).values()];
}
