/** Writes whole rows and their samples to the result files as soon as they are measured. */
import { HEADER, rowLines, shortNumber } from "../../results/row_csv.ts";
import { appendWhole, readAll } from "./append_file.ts";
import { openLocked } from "./file_lock.ts";
import type { RowSink, SampleRecord } from "../../results/row.ts";
import { claimFolder, firstMissing, refuseFile, removeQuietly } from "./run_folder.ts";
import { SystemError } from "../../base/system_error.ts";
import { cannotWrite } from "../system_failure.ts";
import { UsageError } from "../../base/usage_error.ts";

/** Appends to the files of one results folder. */
export interface ResultsWriter extends RowSink {
  readonly dir: string;
  /** Path of `results.csv`. */
  readonly csvPath: string;
  /** Rows appended so far by this writer. */
  readonly rows: number;
  /** The text of `samples.jsonl`; on Windows no other process can read it while it is locked. */
  samplesText(): string;
  /** Releases the folder for other runs. */
  close(): void;
}

/** Options of {@linkcode openResults}. */
export interface OpenOptions {
  /** Makes a new folder: if `dir` exists, one with a numbered name beside it. */
  readonly fresh?: boolean;
  /** Reads the files of earlier runs, after the lock keeps other runs from writing them. */
  readonly inspect?: (dir: string) => void;
}

/**
 * Opens the results folder `dir` for this run alone and creates it if it is missing. A lock on
 * `samples.jsonl` lasts as long as the process. Rows are appended to the files of an earlier run
 * with the same columns. A last line that a killed run left unfinished is cut off.
 *
 * @throws {UsageError | SystemError} if the folder cannot be written, is in use by another run, or
 * holds a `results.csv` with other columns. Nothing that this call created is left behind.
 */
export function openResults(
  dir: string,
  { fresh = false, inspect = () => {} }: OpenOptions = {},
): ResultsWriter {
  refuseFile("results", dir);
  const opened: Deno.FsFile[] = [];
  const made: string[] = [];
  try {
    const missing = firstMissing(dir);
    if (missing !== null) made.push(missing);
    if (fresh) {
      dir = claimFolder(dir);
      made.push(dir);
    } else Deno.mkdirSync(dir, { recursive: true });
    const [csvPath, samplesPath] = [`${dir}/results.csv`, `${dir}/samples.jsonl`];
    const samples = openLocked(samplesPath);
    if (samples === null) {
      made.length = 0;
      throw new UsageError(`Another run is writing to ${dir}; choose another --out.`);
    }
    opened.push(samples.file);
    if (samples.created) made.push(samplesPath);
    inspect(dir);
    const csv = Deno.openSync(csvPath, { read: true, append: true, create: true });
    opened.push(csv);
    checkHeader(csv, csvPath);
    if (cutToLines(csv) === 0) appendWhole(csv, csvPath, HEADER);
    cutToLines(samples.file);
    return writer(dir, { file: csv, path: csvPath }, { file: samples.file, path: samplesPath });
  } catch (error) {
    for (const file of opened) file.close();
    for (const path of made) removeQuietly(path);
    if (error instanceof UsageError || error instanceof SystemError) throw error;
    throw cannotWrite(`results to ${dir}`, error);
  }
}

interface OpenFile {
  readonly file: Deno.FsFile;
  readonly path: string;
}

function writer(dir: string, csv: OpenFile, samples: OpenFile): ResultsWriter {
  let rows = 0;
  return {
    dir,
    csvPath: csv.path,
    get rows() {
      return rows;
    },
    append(added, records = []) {
      // The samples are written first, so that every row on disk has its samples.
      const line = (record: SampleRecord) =>
        `${JSON.stringify(record, (_, value) => shortNumber(value))}\n`;
      appendWhole(samples.file, samples.path, records.map(line).join(""));
      appendWhole(csv.file, csv.path, rowLines(added));
      rows += added.length;
    },
    samplesText: () => new TextDecoder().decode(readAll(samples.file)),
    close() {
      csv.file.close();
      samples.file.close();
    },
  };
}

function checkHeader(file: Deno.FsFile, path: string): void {
  const expected = new TextEncoder().encode(HEADER);
  const found = new Uint8Array(Math.min(expected.length, file.statSync().size));
  file.seekSync(0, Deno.SeekMode.Start);
  file.readSync(found);
  // A shorter file that matches so far is of a run that was killed while it wrote the header.
  if (found.some((byte, i) => byte !== expected[i])) {
    throw new UsageError(
      `${path} has other columns than this version writes; choose another --out.`,
    );
  }
}

/** Cuts off the text after the last line break and returns the number of bytes left. */
function cutToLines(file: Deno.FsFile): number {
  const chunk = new Uint8Array(1 << 16);
  const { size } = file.statSync();
  let end = size;
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
  if (end < size) file.truncateSync(end);
  return end;
}
