/** Reads results back into rows, and says exactly what is wrong with them. */
import {
  type CsvLine,
  csvLines,
  damaged,
  decimalNumber,
  headerFields,
  integerNumber,
  truthValue,
} from "./csv_lines.ts";
import { COLUMNS, LATER_COLUMNS, type ResultRow } from "./row.ts";
import { isWithinInterval, isWord, WORDS } from "./run_json.ts";
import { UsageError } from "../base/usage_error.ts";

/** What a file of results holds. */
export interface StoredResults {
  readonly rows: readonly ResultRow[];
  /** What was left out of it, in a sentence; null if nothing was. */
  readonly warning: string | null;
}

const TRUTHS: readonly (keyof ResultRow)[] = ["software", "verified"];

/** Columns whose text is not a number. */
// deno-fmt-ignore
const TEXTS: readonly (keyof ResultRow)[] = [
  "utc", "suite_version", "commit", "runtime", "adapter", "vendor", "driver", "backend", "case_id",
  "kernel", "lengths", "map", "data_digest",
  "failure",
];

/** Numbers that a row may lack. */
// deno-fmt-ignore
const MAY_BE_EMPTY: readonly (keyof ResultRow)[] = [
  "rows", "unique_rows", "workgroup", "median_us", "ci_low_us", "ci_high_us", "noise_pct",
  "gbytes_per_s", "gflops_per_s", "floor_us", "roofline_pct", "speedup_vs_dense", "ns_per_tick", "rel_l2_err",
  "seed", "memory_bytes", "clock_grain_ns",
];

/** Columns that count something. */
// deno-fmt-ignore
const COUNTS: readonly (keyof ResultRow)[] = [
  "batch", "q_heads", "kv_heads", "head_dim", "kv_len", "bits", "k", "selected", "sink", "recent", "rows",
  "unique_rows", "workgroup", "seed", "steps_per_sample", "sets", "samples", "dropped", "dispatches",
];

/**
 * The rows of a results file's text. A last line without a line break is what a killed run left: it
 * is dropped with a warning.
 *
 * @param path Names the file in errors.
 * @throws {UsageError} for other columns, or naming the first damaged line.
 */
export function parseResults(text: string, path: string): StoredResults {
  const end = text.lastIndexOf("\n") + 1;
  refuseOtherVersion(text, path);
  const format = { path, due: "this version writes", optional: LATER_COLUMNS };
  const lines = csvLines(text.slice(0, end), COLUMNS, format);
  return {
    rows: lines.map((line) => parseRow(line, path)),
    warning: text.slice(end).trim() === "" ? null : `${path}: dropped an incomplete last line.`,
  };
}

/** Columns come and go with versions of the suite; the first ones tell its files from foreign ones. */
function refuseOtherVersion(text: string, path: string): void {
  if (text.trim() === "") throw new UsageError(`${path} is empty.`);
  const found = headerFields(text);
  // Without a line break behind it the header itself may be cut short.
  if (!text.includes("\n") || !found.includes(COLUMNS[0]) || !found.includes(COLUMNS[1])) return;
  const known: readonly string[] = COLUMNS;
  const due = COLUMNS.filter((name) => !LATER_COLUMNS.includes(name));
  const lacks = due.filter((name) => !found.includes(name));
  // Statistics programs put a column of row numbers first, which has no name.
  const extra = found.filter((name, i) => !known.includes(name) && !(i === 0 && name === ""));
  if (lacks.length + extra.length === 0) return;
  const parts = [
    ...(lacks.length > 0 ? [`it lacks ${lacks.join(", ")}`] : []),
    ...(extra.length > 0 ? [`it has ${extra.join(", ")}`] : []),
  ];
  throw damaged(path, 1, `has the columns of another version of the suite: ${parts.join(" and ")}`);
}

function parseRow(csvLine: CsvLine<keyof ResultRow>, path: string): ResultRow {
  const values = COLUMNS.map((name) => {
    const text = csvLine.text(name);
    const value = valueOf(name, text);
    if (value === undefined) throw damaged(path, csvLine.line, `${name} cannot be "${text}"`);
    return [name, value];
  });
  const row = Object.fromEntries(values) as ResultRow;
  if (!isWithinInterval(row)) {
    const { median_us, ci_low_us, ci_high_us } = row;
    const interval = `ci_low_us ${ci_low_us} to ci_high_us ${ci_high_us}`;
    throw damaged(path, csvLine.line, `median_us ${median_us} lies outside of ${interval}`);
  }
  return row;
}

/** The value of a column's text; undefined if it cannot be one. */
function valueOf(
  name: keyof ResultRow,
  text: string,
): string | boolean | number | null | undefined {
  if (name === "params") return isJsonObject(text) ? text : undefined;
  const word = WORDS.find((column) => column === name);
  if (word !== undefined) return isWord(word, text) ? text : undefined;
  if (TEXTS.includes(name)) return text;
  if (TRUTHS.includes(name)) return truthValue(text);
  if (text === "") return MAY_BE_EMPTY.includes(name) ? null : undefined;
  const value = COUNTS.includes(name) ? integerNumber(text) : decimalNumber(text);
  // Every number of a row is a size, a time or a rate.
  return Number.isFinite(value) && value >= 0 ? value : undefined;
}

function isJsonObject(text: string): boolean {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === "object" && value !== null && !Array.isArray(value);
  } catch {
    return false;
  }
}
