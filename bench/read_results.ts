/** Reads results back into rows, and says exactly what is wrong with them. */
import { type CsvLine, csvLines, damaged, decimalNumber, readText } from "./csv_lines.ts";
import { COLUMNS, LATER_COLUMNS, type ResultRow } from "./row.ts";
import { parseRun, rowsOfRun } from "./run_json.ts";
import { UsageError } from "./usage_error.ts";

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
  "kernel", "stage", "lengths", "dtype", "code_sharing", "map", "params", "cache", "data_digest", "timer",
  "failure",
];

/** Numbers that a row may lack. */
// deno-fmt-ignore
const MAY_BE_EMPTY: readonly (keyof ResultRow)[] = [
  "rows", "unique_rows", "workgroup", "median_us", "ci_low_us", "ci_high_us", "noise_pct",
  "gbytes_per_s", "gflops_per_s", "floor_us", "roofline_pct", "speedup_vs_dense", "ns_per_tick", "rel_l2_err",
  "seed", "memory_bytes", "clock_grain_ns",
];

/**
 * Reads a results file, `results.csv` of a results folder, or what `bench --json` wrote.
 *
 * @throws {UsageError} one sentence on why it cannot be read.
 */
export function readResults(path: string): StoredResults {
  const file = isFolder(path) ? `${path.replace(/[/\\]+$/, "")}/results.csv` : path;
  const text = readText(file);
  if (!text.startsWith("{")) return parseResults(text, file);
  return { rows: rowsOfRun(parseRun(text, file)), warning: null };
}

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
  const due = "this version writes";
  const columns = columnsOf(text);
  const lines = csvLines(text.slice(0, end), columns, { path, due });
  return {
    rows: lines.map((line) => parseRow(line, columns, path)),
    warning: text.slice(end).trim() === "" ? null : `${path}: dropped an incomplete last line.`,
  };
}

/** The columns that the text has: all, but for later ones that it lacks. */
function columnsOf(text: string): readonly (keyof ResultRow)[] {
  const found = headerOf(text);
  return COLUMNS.filter((name) => found.includes(name) || !LATER_COLUMNS.includes(name));
}

function headerOf(text: string): string[] {
  return text.replace(/^\ufeff/, "").split(/\r?\n/, 1)[0].split(",");
}

/** Columns come and go with versions of the suite; the first ones tell its files from foreign ones. */
function refuseOtherVersion(text: string, path: string): void {
  if (text.trim() === "") throw new UsageError(`${path} is empty.`);
  const found = headerOf(text);
  // Without a line break behind it the header itself may be cut short.
  if (!text.includes("\n") || found[0] !== COLUMNS[0] || found[1] !== COLUMNS[1]) return;
  const known: readonly string[] = columnsOf(text);
  const lacks = known.filter((name) => !found.includes(name));
  const extra = found.filter((name) => !known.includes(name));
  if (lacks.length + extra.length === 0) return;
  const parts = [
    ...(lacks.length > 0 ? [`it lacks ${lacks.join(", ")}`] : []),
    ...(extra.length > 0 ? [`it has ${extra.join(", ")}`] : []),
  ];
  throw damaged(path, 1, `has the columns of another version of the suite: ${parts.join(" and ")}`);
}

function parseRow(
  { line, fields }: CsvLine,
  columns: readonly (keyof ResultRow)[],
  path: string,
): ResultRow {
  const values = COLUMNS.map((name) => {
    const text = fields[columns.indexOf(name)] ?? "";
    const value = valueOf(name, text);
    if (value === undefined) throw damaged(path, line, `${name} cannot be "${text}"`);
    return [name, value];
  });
  return Object.fromEntries(values) as ResultRow;
}

/** The value of a column's text; undefined if it cannot be one. */
function valueOf(
  name: keyof ResultRow,
  text: string,
): string | boolean | number | null | undefined {
  if (TEXTS.includes(name)) return text;
  if (TRUTHS.includes(name)) return { true: true, false: false }[text];
  if (text === "") return MAY_BE_EMPTY.includes(name) ? null : undefined;
  const value = decimalNumber(text);
  return Number.isFinite(value) ? value : undefined;
}

function isFolder(path: string): boolean {
  try {
    return Deno.statSync(path).isDirectory;
  } catch {
    // Reading it will say why.
    return false;
  }
}
