/** Reads results back into rows. An error names the line and the field. */
import { parseRows } from "./columns.ts";
import { damaged, headerFields } from "./csv_lines.ts";
import { COLUMNS, isWithinInterval, LATER_COLUMNS, type ResultRow, ROW } from "./row.ts";
import { UsageError } from "../base/usage_error.ts";

/** The contents of a file of results. */
export interface StoredResults {
  readonly rows: readonly ResultRow[];
  /** A sentence on what was dropped; null if nothing was. */
  readonly warning: string | null;
}

/**
 * The rows of a results file's text. A killed run may leave a last line without a line break, which
 * is dropped with a warning.
 *
 * @param path Names the file in errors.
 * @throws {UsageError} for other columns, or naming the first damaged line.
 */
export function parseResults(text: string, path: string): StoredResults {
  const end = text.lastIndexOf("\n") + 1;
  refuseOtherVersion(text, path);
  const lines = parseRows(text.slice(0, end), ROW, { path, expected: "this version writes" });
  for (const { line, row } of lines) checkInterval(row, path, line);
  return {
    rows: lines.map(({ row }) => row),
    warning: text.slice(end).trim() === ""
      ? null
      : `${path}: dropped a last line without a line break, which may be incomplete.`,
  };
}

/**
 * Refuses a file of another version of the suite, whose columns may differ. The first two columns
 * tell the suite's files from foreign ones.
 */
function refuseOtherVersion(text: string, path: string): void {
  if (text.trim() === "") throw new UsageError(`${path} is empty.`);
  const found = headerFields(text);
  // Without a line break after it the header itself may be cut off.
  if (!text.includes("\n") || !found.includes(COLUMNS[0]) || !found.includes(COLUMNS[1])) return;
  const known: readonly string[] = COLUMNS;
  const required = COLUMNS.filter((name) => !LATER_COLUMNS.includes(name));
  const lacks = required.filter((name) => !found.includes(name));
  // Statistics programs add a first column of row numbers, which has no name.
  const extra = found.filter((name, i) => !known.includes(name) && !(i === 0 && name === ""));
  if (lacks.length + extra.length === 0 || !found.includes("case_id")) return;
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
