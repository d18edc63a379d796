/** Reads and writes `frontier.csv`. */
import {
  FRONTIER_HEADER,
  frontierLines,
  type FrontierRow,
  parseFrontier,
} from "../../results/frontier_rows.ts";
import { SystemError } from "../../base/system_error.ts";
import { UsageError } from "../../base/usage_error.ts";
import { cannotWrite } from "../system_failure.ts";
import { appendWhole, readAll } from "./append_file.ts";
import { openLocked } from "./file_lock.ts";
import { fileOrIn } from "./paths.ts";
import { readText } from "./read_files.ts";
import { claimFolder, refuseFile } from "./run_folder.ts";

const NAME = "frontier.csv";

/** An open file of rows. */
export interface FrontierFile {
  readonly dir: string;
  readonly path: string;
  /** The rows that it held when it was opened. */
  readonly earlier: readonly FrontierRow[];
  /** Rows appended so far. */
  readonly rows: number;
  append(rows: readonly FrontierRow[]): void;
  close(): void;
}

/**
 * Opens `frontier.csv` of a folder for this run alone and creates both if they are missing. A lock
 * lasts as long as the process. A last line that a killed run left unfinished is cut off.
 *
 * @param options With `fresh` a new folder is made: if `dir` exists, one with a numbered name
 * beside it.
 * @throws {UsageError | SystemError} in one sentence, if a file is in the way, another run is
 * writing, the file has rows of another commit, or the folder cannot be written.
 */
export function openFrontier(
  dir: string,
  { fresh, commit }: { readonly fresh: boolean; readonly commit: string },
): FrontierFile {
  refuseFile("results", dir);
  let file: Deno.FsFile | undefined;
  try {
    if (fresh) dir = claimFolder(dir);
    else Deno.mkdirSync(dir, { recursive: true });
    const path = `${dir}/${NAME}`;
    file = openLocked(path)?.file;
    if (file === undefined) {
      throw new UsageError(`Another run is writing to ${dir}; choose another --out.`);
    }
    const earlier = rowsIn(file, path);
    const other = earlier.find((row) => row.commit !== commit);
    if (other) {
      throw new UsageError(
        `${path} has rows of commit ${other.commit}, this is ${commit}; choose another --out.`,
      );
    }
    if (file.statSync().size === 0) appendWhole(file, path, FRONTIER_HEADER);
    const open = file;
    let rows = 0;
    return {
      dir,
      path,
      earlier,
      get rows() {
        return rows;
      },
      append(added) {
        appendWhole(open, path, frontierLines(added));
        rows += added.length;
      },
      close: () => open.close(),
    };
  } catch (error) {
    file?.close();
    if (error instanceof UsageError || error instanceof SystemError) throw error;
    throw cannotWrite(`to ${dir}`, error);
  }
}

/** The rows of an open file, whose unfinished last line is cut off. */
function rowsIn(file: Deno.FsFile, path: string): FrontierRow[] {
  const bytes = readAll(file);
  const whole = bytes.subarray(0, bytes.lastIndexOf(0x0a) + 1);
  const rows = whole.length === 0 ? [] : parseFrontier(new TextDecoder().decode(whole), path);
  if (whole.length < bytes.length) file.truncateSync(whole.length);
  return rows;
}

/**
 * Reads a file of `deno task frontier`, or `frontier.csv` of a folder.
 *
 * @throws {UsageError} in one sentence, with the reason why it cannot be read.
 */
export function readFrontier(path: string): FrontierRow[] {
  const file = fileOrIn(path, NAME);
  return parseFrontier(readText(file), file);
}
