/** CSV whose records are a line each, read with the numbers of its lines. Pure. */
import { parse } from "@std/csv";
import { systemReason } from "../fixtures/system_reason.ts";
import { UsageError } from "./usage_error.ts";

/** A record and the line, from 1, on which it stands. */
export interface CsvLine {
  readonly line: number;
  readonly fields: readonly string[];
}

/**
 * The records of a text whose first line names its `columns`. Blank lines are left out, and so are
 * repeated headers, which files that were concatenated have.
 *
 * @param path Names the file in errors.
 * @param due What the columns are called in errors.
 * @param firstLine The line of the file on which the text begins.
 * @throws {UsageError} for other columns, or naming the first line that is no record of them.
 */
export function csvLines(
  text: string,
  columns: readonly string[],
  { path, due, firstLine = 1 }: { path: string; due: string; firstLine?: number },
): CsvLine[] {
  const header = columns.join();
  const lines = text.replace(/^\ufeff/, "").split(/\r?\n/);
  if (lines[0].trimEnd() !== header) throw new UsageError(`${path} has other columns than ${due}.`);
  return lines.flatMap((record, i) => {
    if ([header, ""].includes(record.trim())) return [];
    const line = firstLine + i;
    const fields = fieldsOf(record);
    if (fields === null) throw damaged(path, line, "is not CSV");
    if (fields.length === columns.length) return [{ line, fields }];
    throw damaged(path, line, `has ${fields.length} fields where ${columns.length} are due`);
  });
}

function fieldsOf(record: string): string[] | null {
  try {
    return parse(record)[0];
  } catch {
    // The parser's own words tell a line and column of this record alone.
    return null;
  }
}

/** The complaint about a line, such as `peers.csv, line 7: has 5 fields where 8 are due.` */
export function damaged(path: string, line: number, what: string): UsageError {
  return new UsageError(`${path}, line ${line}: ${what}.`);
}

/** A number in decimal notation; NaN for anything else, "" included. */
export function decimalNumber(text: string): number {
  return /^-?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?$/i.test(text) ? Number(text) : NaN;
}

/**
 * The text of a file.
 *
 * @throws {UsageError} if it cannot be read.
 */
export function readText(path: string): string {
  try {
    return Deno.readTextFileSync(path);
  } catch (error) {
    throw new UsageError(`Cannot read ${path}: ${systemReason(error)}.`);
  }
}
