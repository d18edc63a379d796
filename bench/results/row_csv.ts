/** The text form of results: CSV records by RFC 4180. */
import { stringify } from "@std/csv";
import { COLUMNS, type ResultRow } from "./row.ts";

/** The first line of a file of results. */
export const HEADER = csvLine(COLUMNS);

/** RFC 4180: CRLF ends a record. */
function csvLine(fields: readonly unknown[]): string {
  return stringify([fields]);
}

/** A value as written: no line breaks, so that a record is always one line. */
function field(value: ResultRow[keyof ResultRow]): unknown {
  if (typeof value === "string") return value.replace(/[\r\n]+/g, " ");
  // The error of outputs that are no numbers is none either.
  return typeof value === "number" && !Number.isFinite(value) ? null : shortNumber(value);
}

/** Fractions keep 6 digits: no timing is good to more. */
export function shortNumber(value: unknown): unknown {
  return typeof value === "number" && !Number.isInteger(value)
    ? Number(value.toPrecision(6))
    : value;
}

/** Rows as lines of a file of results. */
export function rowLines(rows: readonly ResultRow[]): string {
  return rows.map((row) => csvLine(COLUMNS.map((name) => field(row[name])))).join("");
}
