/**
 * The log of a tuner: a line of JSON for each measurement, on disk before the next one begins. What
 * a killed run left is read again, all but a line that it did not finish.
 */
import * as v from "valibot";
import type { Params } from "../../kernels/core/contender.ts";
import { parseStrictJson } from "../../kernels/maps/strict_json.ts";
import type { TuningKey } from "../../kernels/core/tuning.ts";
import { appendWhole, readAll } from "../append_file.ts";
import { readText } from "../csv_lines.ts";
import { openLocked } from "../file_lock.ts";
import { claimFolder, refuseFile } from "../run_folder.ts";
import { cannotWrite, SystemError } from "../system_error.ts";
import { UsageError } from "../usage_error.ts";
import { type Measured, type Opened, PHASES, type Unmeasured } from "./messages.ts";
import { STRATEGIES } from "./strategies.ts";

/** What a measurement is of; runs on other machines or of other sources share nothing with it. */
export interface LogSubject extends Required<TuningKey> {
  readonly case_id: string;
  readonly kernel: string;
  /** Of the kernel's sources and candidates. */
  readonly checksum: string;
}

/** What a line tells: the begin of a kernel's tuning, what came of a candidate, or the end. */
export type LogEvent =
  | ({ readonly type: "opened" } & Opened)
  | ({ readonly type: "measured" } & Measured)
  | ({ readonly type: "unmeasured" } & Unmeasured)
  | { readonly type: "done" };

/** A line of the log. */
export type LogLine = LogSubject & { readonly utc: string } & LogEvent;

/** An open log. */
export interface TuneLog {
  readonly dir: string;
  readonly path: string;
  /** What it held when it was opened. */
  readonly lines: readonly LogLine[];
  append(line: LogLine): void;
  close(): void;
}

/** How a log is opened. */
export interface OpenLogOptions {
  /** Goes on from the lines that are there; without it there must be none. */
  readonly resume?: boolean;
  /** No other run may have the folder: where `dir` is there already, one beside it is made. */
  readonly fresh?: boolean;
}

/**
 * Opens the log `tune.jsonl` of a folder, made where it is missing, for this run alone: a lock lasts
 * as long as the process.
 *
 * @throws {UsageError | SystemError} one sentence: nothing to resume, something in the way, another
 * run, a damaged line, or a folder that cannot be written.
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
      throw new UsageError(`${path} is there already; --resume goes on from it.`);
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
    // What else is wrong will be said where it is opened.
    return !(error instanceof Deno.errors.NotFound);
  }
}

/**
 * The lines of a log, or of `tune.jsonl` of a folder; a last one that is not whole is dropped.
 *
 * @throws {UsageError} one sentence on why it cannot be read.
 */
export function readLog(path: string): LogLine[] {
  const file = isFolder(path) ? `${path.replace(/[/\\]+$/, "")}/tune.jsonl` : path;
  const text = readText(file);
  return parseLog(text.slice(0, text.lastIndexOf("\n") + 1), file);
}

/**
 * The lines of a log's text; all of them are whole.
 *
 * @param path Names the file in errors.
 * @throws {UsageError} naming the first line that is not one of a tuner's log.
 */
export function parseLog(text: string, path: string): LogLine[] {
  return text.split("\n").slice(0, -1).map((line, i) => {
    const { success, output } = v.safeParse(LINE, parsed(line));
    if (!success) throw new UsageError(`${path}: line ${i + 1} is not a line of a tuner's log.`);
    return output;
  });
}

/** What a log knows of a subject. */
export interface Known {
  /** The kernel's own parameters; null before its turn began. */
  readonly defaults: Params | null;
  /** In the order in which they were made. */
  readonly measured: readonly Measured[];
  /** Whether its turn is over. */
  readonly done: boolean;
}

/** What a log knows of a subject. */
export function known(lines: readonly LogLine[], subject: LogSubject): Known {
  const own = lines.filter((line) =>
    Object.entries(subject).every(([name, value]) => line[name as keyof LogSubject] === value)
  );
  return {
    defaults: own.find((line) => line.type === "opened")?.defaults ?? null,
    measured: own.filter((line) => line.type === "measured")
      .map(({ phase, params, us, low, high, samples, failure }) => (
        { phase, params, us, low, high, samples, failure }
      )),
    done: own.some(({ type }) => type === "done"),
  };
}

function isFolder(path: string): boolean {
  try {
    return Deno.statSync(path).isDirectory;
  } catch {
    // Reading it will say why.
    return false;
  }
}

function parsed(line: string): unknown {
  try {
    return parseStrictJson(line);
  } catch {
    return null;
  }
}

const text = v.string();
const params = v.record(text, v.number());
const time = v.nullable(v.pipe(v.number(), v.minValue(0)));
const SUBJECT = {
  adapter: text,
  driver: text,
  backend: text,
  case_id: text,
  kernel: text,
  checksum: text,
  utc: text,
};
const LINE = v.variant("type", [
  v.object({ ...SUBJECT, type: v.literal("done") }),
  v.object({
    ...SUBJECT,
    type: v.literal("opened"),
    defaults: params,
    allowed: v.nullable(v.number()),
    strategy: v.picklist(STRATEGIES),
  }),
  v.object({
    ...SUBJECT,
    type: v.literal("measured"),
    phase: v.picklist(PHASES),
    params,
    us: time,
    low: time,
    high: time,
    samples: v.number(),
    failure: v.nullable(text),
  }),
  v.object({ ...SUBJECT, type: v.literal("unmeasured"), params, why: text }),
]);
