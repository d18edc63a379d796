/** Reads and writes the log file of a tuner. */
import { type LogLine, parseLog } from "../../tuning/log.ts";
import { SystemError } from "../../base/system_error.ts";
import { UsageError } from "../../base/usage_error.ts";
import { cannotWrite } from "../system_failure.ts";
import { appendWhole, readAll } from "./append_file.ts";
import { openLocked } from "./file_lock.ts";
import { fileOrIn } from "./paths.ts";
import { readText } from "./read_files.ts";
import { claimFolder, refuseFile } from "./run_folder.ts";

/** An open log. */
export interface TuneLog {
  readonly dir: string;
  readonly path: string;
  /** The lines that it held when it was opened. */
  readonly lines: readonly LogLine[];
  append(line: LogLine): void;
  close(): void;
}

/** Options of {@linkcode openLog}. */
export interface OpenLogOptions {
  /** Continues an existing log; without it the log must be empty. */
  readonly resume?: boolean;
  /** Makes a new folder: if `dir` exists, one with a numbered name beside it. */
  readonly fresh?: boolean;
}

/**
 * Opens the log `tune.jsonl` of a folder for this run alone and creates it if it is missing. A lock
 * on it lasts as long as the process.
 *
 * @throws {UsageError | SystemError} in one sentence, if there is nothing to resume, a file is in
 * the way, another run is writing, a line is damaged, or the folder cannot be written.
 */
export function openLog(
  dir: string,
  { resume = false, fresh = false }: OpenLogOptions = {},
): TuneLog {
  refuseFile("the log", dir);
  if (resume && !isThere(`${dir}/tune.jsonl`)) {
    throw new UsageError(`There is nothing to resume in ${dir}.`);
  }
  let file: Deno.FsFile | undefined;
  try {
    if (fresh) dir = claimFolder(dir);
    else Deno.mkdirSync(dir, { recursive: true });
    const path = `${dir}/tune.jsonl`;
    file = openLocked(path)?.file;
    if (file === undefined) {
      throw new UsageError(`Another run is writing to ${dir}; choose another --out.`);
    }
    const bytes = readAll(file);
    if (!resume && bytes.length > 0) {
      throw new UsageError(`${path} already exists; --resume continues it.`);
    }
    const whole = bytes.subarray(0, bytes.lastIndexOf(0x0a) + 1);
    const lines = parseLog(new TextDecoder().decode(whole), path);
    file.truncateSync(whole.length);
    const open = file;
    return {
      dir,
      path,
      lines,
      append: (line) => appendWhole(open, path, `${JSON.stringify(line)}\n`),
      close: () => open.close(),
    };
  } catch (error) {
    file?.close();
    if (error instanceof UsageError || error instanceof SystemError) throw error;
    throw cannotWrite(`to ${dir}`, error);
  }
}

function isThere(path: string): boolean {
  try {
    Deno.statSync(path);
    return true;
  } catch (error) {
    // Opening the file reports any other error.
    return !(error instanceof Deno.errors.NotFound);
  }
}

/**
 * Reads the lines of a log, or of `tune.jsonl` in a folder. An unfinished last line is dropped.
 *
 * @throws {UsageError} in one sentence, with the reason why it cannot be read.
 */
export function readLog(path: string): LogLine[] {
  const file = fileOrIn(path, "tune.jsonl");
  const text = readText(file);
  return parseLog(text.slice(0, text.lastIndexOf("\n") + 1), file);
}
