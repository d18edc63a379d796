/** Reads CSV with one record per line, by column name and with line numbers. */
import { parse } from "@std/csv";
import { describeFile } from "./file_kinds.ts";
import { UsageError } from "../base/usage_error.ts";

/** A record and its line number in the file, from 1. */
export interface CsvLine<Column extends string = string> {
  readonly line: number;
  /** The trimmed text of a column; empty if the file lacks an optional column. */
  text(column: Column): string;
}

/** Describes the expected file. */
export interface CsvFormat<Column extends string> {
  /** Names the file in errors. */
  readonly path: string;
  /** Describes the expected columns in errors. */
  readonly expected: string;
  /** The flag that takes such a file. With a flag, `expected` lists the columns. */
  readonly flag?: string;
  /** Columns that a file may lack. */
  readonly optional?: readonly Column[];
}

/** R writes this for a missing value. */
const MISSING = "NA";

/**
 * The records of a text whose first line names its `columns`, in any order. The header may be
 * quoted, may begin with a byte order mark and may have a first column of row numbers, since
 * statistics programs write all of these. Blank lines and the repeated headers of concatenated
 * files are left out.
 *
 * @throws {UsageError} for other columns, or naming the first line that is not a record of them.
 */
export function csvLines<Column extends string>(
  text: string,
  columns: readonly Column[],
  format: CsvFormat<Column>,
): CsvLine<Column>[] {
  const { path } = format;
  const lines = text.replace(/^\ufeff/, "").split(/\r?\n/);
  let header = headerFields(text);
  checkColumns(header, columns, format, text);
  return lines.flatMap((record, i) => {
    const line = i + 1;
    if (i === 0 || record.trim() === "") return [];
    const fields = fieldsOf(record);
    if (fields === null) throw damaged(path, line, "is not CSV");
    const names: readonly string[] = fields.map((field) => field.trim());
    if (columns.every((name) => names.includes(name) || format.optional?.includes(name))) {
      // A repeated header: each of the concatenated files may have or lack the optional columns.
      header = headerFields(record);
      checkColumns(header, columns, format, text);
      return [];
    }
    if (fields.length !== header.length) {
      throw damaged(path, line, `has ${fields.length} fields, expected ${header.length}`);
    }
    const indexOf = new Map(header.map((name, i) => [name, i]));
    return [{
      line,
      text: (column) => {
        const index = indexOf.get(column);
        const field = index === undefined ? "" : fields[index].trim();
        return field === MISSING ? "" : field;
      },
    }];
  });
}

/** The names of the columns in the first line of a text, known or unknown. */
export function headerFields(text: string): string[] {
  const [first] = text.replace(/^\ufeff/, "").split(/\r?\n/, 1);
  return (fieldsOf(first) ?? []).map((name) => name.trim());
}

function checkColumns<Column extends string>(
  header: readonly string[],
  columns: readonly Column[],
  { path, expected, flag, optional = [] }: CsvFormat<Column>,
  text: string,
): void {
  const twice = header.find((name, i) => header.indexOf(name) !== i);
  if (twice !== undefined && header.includes(columns[0])) {
    throw damaged(path, 1, `has the column "${twice}" twice`);
  }
  // The column of row numbers has no name.
  const known: readonly string[] = header[0] === "" ? ["", ...columns] : columns;
  const lacks = columns.some((name) => !header.includes(name) && !optional.includes(name));
  if (!lacks && header.every((name) => known.includes(name))) return;
  const separator = [";", "\t"].find((mark) => header.length < 2 && header[0]?.includes(mark));
  if (separator !== undefined) {
    const name = separator === ";" ? "semicolons" : "tabs";
    throw damaged(path, 1, `separates its fields by ${name}, expected commas`);
  }
  const found = describeFile(text);
  if (flag !== undefined) {
    // A file of the right kind has too many or too few columns.
    const other = found?.endsWith(`which ${flag} takes`) ? null : found;
    const fault = other === null ? "has other columns" : `is ${other}`;
    throw new UsageError(`${path} ${fault}; ${flag} takes a CSV with the columns ${expected}.`);
  }
  throw new UsageError(
    `${path} has other columns than ${expected}${found === null ? "" : `: it is ${found}`}.`,
  );
}

function fieldsOf(record: string): string[] | null {
  try {
    return parse(record)[0] ?? null;
  } catch {
    // The parser's message counts lines from the beginning of this record, so it would mislead.
    return null;
  }
}

/** The error of a damaged line, such as `peers.csv, line 7: has 5 fields, expected 8.` */
export function damaged(path: string, line: number, fault: string): UsageError {
  return new UsageError(`${path}, line ${line}: ${fault}.`);
}

/**
 * A number in decimal notation; NaN for anything else, "" included. Statistics programs may write
 * whole numbers as `1.0` or `6e+09`.
 */
export function decimalNumber(text: string): number {
  return /^-?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?$/i.test(text) ? Number(text) : NaN;
}

/** A truth value in any common form, such as `true`, `TRUE` or `1.0`; undefined for other text. */
export function truthValue(text: string): boolean | undefined {
  if (/^(true|1(\.0)?)$/i.test(text)) return true;
  if (/^(false|0(\.0)?)$/i.test(text)) return false;
  return undefined;
}
