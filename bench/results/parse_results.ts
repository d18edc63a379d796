/** Reads results back into rows, and says exactly what is wrong with them. */
import { parseRows } from "./columns.ts";
import { damaged, headerFields } from "./csv_lines.ts";
import { COLUMNS, isWithinInterval, LATER_COLUMNS, type ResultRow, ROW } from "./row.ts";
import { UsageError } from "../base/usage_error.ts";

/** What a file of results holds. */
export interface StoredResults {
  readonly rows: readonly ResultRow[];
  /** What was left out of it, in a sentence; null if nothing was. */
  readonly warning: string | null;
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
  const lines = parseRows(text.slice(0, end), ROW, { path, due: "this version writes" });
  for (const { line, row } of lines) checkInterval(row, path, line);
  return {
    rows: lines.map(({ row }) => row),
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

function checkInterval(row: ResultRow, path: string, line: number): void {
  if (isWithinInterval(row)) return;
  const { median_us, ci_low_us, ci_high_us } = row;
  const interval = `ci_low_us ${ci_low_us} to ci_high_us ${ci_high_us}`;
  throw damaged(path, line, `median_us ${median_us} lies outside of ${interval}`);
}
