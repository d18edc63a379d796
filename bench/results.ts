/** Result files: rows and their samples go to disk whole, as soon as they are measured. */
import { stringify } from "@std/csv";
import { systemReason } from "../fixtures/system_reason.ts";
import { COLUMNS, type ResultRow, type SampleRecord } from "./row.ts";
import { UsageError } from "./usage_error.ts";

/** Appends to the files of one results folder. */
export interface ResultsWriter {
  /** Path of `results.csv`. */
  readonly csvPath: string;
  /** Path of `samples.jsonl`. */
  readonly samplesPath: string;
  /** Rows appended so far by this writer. */
  readonly rows: number;
  /** Writes rows in one go, after their raw samples: a row that is there has its own. */
  append(rows: readonly ResultRow[], samples?: readonly SampleRecord[]): void;
  close(): void;
}

const HEADER = csvLine(COLUMNS);

/**
 * Opens the results folder `dir`, made where it is missing. Files of an earlier run with the same
 * columns are appended to; a last line that a killed run left unfinished is cut off.
 *
 * @throws {UsageError} if the folder cannot be written, which then leaves nothing behind, or holds
 * a `results.csv` with other columns.
 */
export function openResults(dir: string): ResultsWriter {
  const made = firstMissing(dir);
  const opened: Deno.FsFile[] = [];
  const csvPath = `${dir}/results.csv`;
  const samplesPath = `${dir}/samples.jsonl`;
  const open = (path: string) => {
    opened.push(Deno.openSync(path, { read: true, write: true, create: true }));
    return opened.at(-1)!;
  };
  try {
    Deno.mkdirSync(dir, { recursive: true });
    const csv = open(csvPath);
    checkHeader(csv, csvPath);
    const samples = open(samplesPath);
    if (seekEndOfLines(csv) === 0) writeWhole(csv, HEADER);
    seekEndOfLines(samples);
    return writer(csv, samples, { csvPath, samplesPath });
  } catch (error) {
    for (const file of opened) file.close();
    if (made !== null) removeQuietly(made);
    if (error instanceof UsageError) throw error;
    throw new UsageError(`Cannot write results to ${dir}: ${systemReason(error)}.`);
  }
}

function writer(
  csv: Deno.FsFile,
  samples: Deno.FsFile,
  paths: { csvPath: string; samplesPath: string },
): ResultsWriter {
  let rows = 0;
  return {
    ...paths,
    get rows() {
      return rows;
    },
    append(added, records = []) {
      const line = (record: SampleRecord) =>
        `${JSON.stringify(record, (_, value) => shortNumber(value))}\n`;
      writeWhole(samples, records.map(line).join(""));
      const cells = added.map((row) => COLUMNS.map((name) => field(row[name])));
      writeWhole(csv, cells.map(csvLine).join(""));
      rows += added.length;
    },
    close() {
      csv.close();
      samples.close();
    },
  };
}

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

/** One write, so that a killed process leaves all of the text or none. */
function writeWhole(file: Deno.FsFile, text: string): void {
  const bytes = new TextEncoder().encode(text);
  for (let at = 0; at < bytes.length;) at += file.writeSync(bytes.subarray(at));
}

function checkHeader(file: Deno.FsFile, path: string): void {
  const expected = new TextEncoder().encode(HEADER);
  const found = new Uint8Array(Math.min(expected.length, file.statSync().size));
  file.readSync(found);
  // A shorter file that agrees was killed within its header.
  if (found.some((byte, i) => byte !== expected[i])) {
    throw new UsageError(
      `${path} has other columns than this version writes; choose another --out.`,
    );
  }
}

/** Cuts off what follows the last line break, goes there, and returns the place. */
function seekEndOfLines(file: Deno.FsFile): number {
  const chunk = new Uint8Array(1 << 16);
  let end = file.statSync().size;
  while (end > 0) {
    const start = Math.max(0, end - chunk.length);
    file.seekSync(start, Deno.SeekMode.Start);
    const count = file.readSync(chunk.subarray(0, end - start)) ?? 0;
    const lineFeed = chunk.lastIndexOf(0x0a, count - 1);
    if (lineFeed >= 0 && count > 0) {
      end = start + lineFeed + 1;
      break;
    }
    end = start;
  }
  file.truncateSync(end);
  return file.seekSync(end, Deno.SeekMode.Start);
}

/** The outermost folder of `dir` that does not exist yet, or null where all do. */
function firstMissing(dir: string): string | null {
  let missing: string | null = null;
  for (let at = dir.replace(/[/\\]+$/, "");; at = at.replace(/[/\\]*[^/\\]+$/, "")) {
    if (at === "" || exists(at)) return missing;
    missing = at;
  }
}

function exists(path: string): boolean {
  try {
    Deno.lstatSync(path);
    return true;
  } catch (error) {
    // What cannot be looked at is not this run's to remove.
    return !(error instanceof Deno.errors.NotFound);
  }
}

function removeQuietly(path: string): void {
  try {
    Deno.removeSync(path, { recursive: true });
  } catch {
    // It was never made.
  }
}
