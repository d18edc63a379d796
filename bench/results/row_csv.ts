/** The text form of results: CSV records by RFC 4180. */
import { stringify } from "@std/csv";
import { COLUMNS, type ResultRow } from "./row.ts";

/** The first line of a file of results. */
export const HEADER = csvLine(COLUMNS);

/** A record as RFC 4180 demands, ended by CRLF. */
function csvLine(fields: readonly unknown[]): string {
  return stringify([fields]);
}

/** A value for a field of CSV. Line breaks become spaces, so that a record is always one line. */
function field(value: ResultRow[keyof ResultRow]): unknown {
  if (typeof value === "string") return value.replace(/[\r\n]+/g, " ");
  // If an output is NaN, so is its error: the field is left empty.
  return typeof value === "number" && !Number.isFinite(value) ? null : shortNumber(value);
}

/** Rounds fractions to 6 digits, since no timing is more accurate. */
export function shortNumber(value: unknown): unknown {
  return typeof value === "number" && !Number.isInteger(value)
    ? Number(value.toPrecision(6))
    : value;
}

/** Rows as lines of a file of results. */
export function rowLines(rows: readonly ResultRow[]): string {
  return rows.map((row) => csvLine(COLUMNS.map((name) => field(row[name])))).join("");
}
