/** CSV whose records are a line each, read by column name and with the numbers of its lines. */
import { parse } from "@std/csv";
import { describeFile } from "./file_kinds.ts";
import { UsageError } from "../base/usage_error.ts";

/** A record and the line, from 1, on which it stands. */
export interface CsvLine<Column extends string = string> {
  readonly line: number;
  /** The trimmed text of a column; empty where the file lacks an optional column. */
  text(column: Column): string;
}

/** What a file must be to be read. */
export interface CsvFormat<Column extends string> {
  /** Names the file in errors. */
  readonly path: string;
  /** What the columns are called in errors. */
  readonly due: string;
  /** The flag that takes such a file. With one, `due` lists the columns. */
  readonly flag?: string;
  /** Columns that a file may lack. */
  readonly optional?: readonly Column[];
}

/** What R writes for a missing value. */
const MISSING = "NA";

/**
 * The records of a text whose first line names its `columns`, in any order. Statistics programs
 * quote the header, start with a byte order mark or put a column of row numbers first: that is the
 * same table. Blank lines are left out, and so are repeated headers, which concatenated files have.
 *
 * @throws {UsageError} for other columns, or naming the first line that is no record of them.
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
      // A header again: of concatenated files each may have the optional columns or lack them.
      header = headerFields(record);
      checkColumns(header, columns, format, text);
      return [];
    }
    if (fields.length !== header.length) {
      throw damaged(path, line, `has ${fields.length} fields where ${header.length} are due`);
    }
    const place = new Map(header.map((name, i) => [name, i]));
    return [{
      line,
      text: (column) => {
        const at = place.get(column);
        const field = at === undefined ? "" : fields[at].trim();
        return field === MISSING ? "" : field;
      },
    }];
  });
}

/** The names of the columns in the first line of a text, whatever they are. */
export function headerFields(text: string): string[] {
  const [first] = text.replace(/^\ufeff/, "").split(/\r?\n/, 1);
  return (fieldsOf(first) ?? []).map((name) => name.trim());
}

function checkColumns<Column extends string>(
  header: readonly string[],
  columns: readonly Column[],
  { path, due, flag, optional = [] }: CsvFormat<Column>,
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
    throw damaged(path, 1, `has its fields between ${name} where commas are due`);
  }
  const found = describeFile(text);
  if (flag !== undefined) {
    // A file of the right kind has too many columns, or too few.
    const other = found?.endsWith(`which ${flag} takes`) ? null : found;
    const what = other === null ? "has other columns" : `is ${other}`;
    throw new UsageError(`${path} ${what}; ${flag} takes a CSV with the columns ${due}.`);
  }
  throw new UsageError(
    `${path} has other columns than ${due}${found === null ? "" : `: it is ${found}`}.`,
  );
}

function fieldsOf(record: string): string[] | null {
  try {
    return parse(record)[0] ?? null;
  } catch {
    // The parser's own words tell a line and column of this record alone.
    return null;
  }
}

/** The complaint about a line, such as `peers.csv, line 7: has 5 fields where 8 are due.` */
export function damaged(path: string, line: number, what: string): UsageError {
  return new UsageError(`${path}, line ${line}: ${what}.`);
}

/**
 * A number in decimal notation; NaN for anything else, "" included. Statistics programs may write
 * whole ones as `1.0` or `6e+09`.
 */
export function decimalNumber(text: string): number {
  return /^-?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?$/i.test(text) ? Number(text) : NaN;
}

/** A truth as programs write it: `true`, `True`, `TRUE`, `1` or `1.0`; undefined for anything else. */
export function truthValue(text: string): boolean | undefined {
  if (/^(true|1(\.0)?)$/i.test(text)) return true;
  if (/^(false|0(\.0)?)$/i.test(text)) return false;
  return undefined;
}
