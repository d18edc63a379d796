/**
 * The log of a tuner: a line of JSON for each measurement, on disk before the next one begins. What
 * a killed run left is read again, all but a line that it did not finish.
 */
import * as v from "valibot";
import { systemReason } from "../../fixtures/system_reason.ts";
import type { Params } from "../../kernels/contender.ts";
import { parseStrictJson } from "../../kernels/strict_json.ts";
import type { TuningKey } from "../../kernels/tuning.ts";
import { readText } from "../csv_lines.ts";
import { UsageError } from "../usage_error.ts";
import { type Measured, type Opened, PHASES } from "./messages.ts";
import { STRATEGIES } from "./strategies.ts";

/** What a measurement is of; runs on other machines or of other sources share nothing with it. */
export interface LogSubject extends Required<TuningKey> {
  readonly case_id: string;
  readonly kernel: string;
  /** Of the kernel's sources and candidates. */
  readonly checksum: string;
}

/** A line of the log: the begin of a kernel's tuning, a measurement, or the end. */
export type LogLine =
  & LogSubject
  & { readonly utc: string }
  & (
    | ({ readonly type: "opened" } & Opened)
    | ({ readonly type: "measured" } & Measured)
    | { readonly type: "done" }
  );

/** An open log. */
export interface TuneLog {
  readonly path: string;
  /** What it held when it was opened. */
  readonly lines: readonly LogLine[];
  append(line: LogLine): void;
  close(): void;
}

/**
 * Opens the log `tune.jsonl` of a folder, made where it is missing.
 *
 * @param resume Goes on from the lines that are there; without it there must be none.
 * @throws {UsageError} one sentence: nothing to resume, something in the way, a damaged line, or a
 * folder that cannot be written.
 */
export function openLog(dir: string, resume: boolean): TuneLog {
  const path = `${dir}/tune.jsonl`;
  const text = readIfThere(path);
  if (resume && text === null) throw new UsageError(`There is nothing to resume in ${dir}.`);
  if (!resume && text) {
    throw new UsageError(`${path} is there already; --resume goes on from it.`);
  }
  const whole = (text ?? "").slice(0, (text ?? "").lastIndexOf("\n") + 1);
  const lines = parseLog(whole, path);
  let file: Deno.FsFile;
  try {
    Deno.mkdirSync(dir, { recursive: true });
    file = Deno.openSync(path, { write: true, create: true });
    const end = new TextEncoder().encode(whole).length;
    file.truncateSync(end);
    file.seekSync(end, Deno.SeekMode.Start);
  } catch (error) {
    throw new UsageError(`Cannot write to ${dir}: ${systemReason(error)}.`);
  }
  return {
    ...{ path, lines },
    append(line) {
      const bytes = new TextEncoder().encode(`${JSON.stringify(line)}\n`);
      for (let at = 0; at < bytes.length;) at += file.writeSync(bytes.subarray(at));
    },
    close: () => file.close(),
  };
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
 * @throws {UsageError} naming the first line that is none of a log.
 */
export function parseLog(text: string, path: string): LogLine[] {
  return text.split("\n").slice(0, -1).map((line, i) => {
    const { success, output } = v.safeParse(LINE, parsed(line));
    if (!success) throw new UsageError(`${path}: line ${i + 1} is none of a tuner's.`);
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
  ...{ adapter: text, driver: text, backend: text, case_id: text, kernel: text, checksum: text },
  utc: text,
};
const LINE = v.variant("type", [
  v.object({ ...SUBJECT, type: v.literal("done") }),
  v.object({
    ...{ ...SUBJECT, type: v.literal("opened"), defaults: params },
    ...{ allowed: v.nullable(v.number()), strategy: v.picklist(STRATEGIES) },
  }),
  v.object({
    ...{ ...SUBJECT, type: v.literal("measured"), phase: v.picklist(PHASES), params },
    ...{ us: time, low: time, high: time, samples: v.number(), failure: v.nullable(text) },
  }),
]);

function readIfThere(path: string): string | null {
  try {
    return Deno.readTextFileSync(path);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return null;
    throw new UsageError(`Cannot read ${path}: ${systemReason(error)}.`);
  }
}
