/**
 * The log of a tuner: a line of JSON for each measurement, on disk before the next one begins. What
 * a killed run left is read again, all but a line that it did not finish.
 */
import * as v from "valibot";
import type { Params } from "../../kernels/core/variant.ts";
import { parseStrictJson } from "../../kernels/maps/strict_json.ts";
import type { TuningKey } from "../../kernels/core/tuning.ts";
import { UsageError } from "../base/usage_error.ts";
import { type Measured, type Opened, PHASES, type Unmeasured } from "./messages.ts";

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
/** Older logs have a round between the two. It was no final. */
const phase = v.pipe(
  v.picklist([...PHASES, "round"]),
  v.transform((name) => name === "round" ? "explore" : name),
);
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
  }),
  v.object({
    ...SUBJECT,
    type: v.literal("measured"),
    phase,
    params,
    us: time,
    low: time,
    high: time,
    samples: v.number(),
    failure: v.nullable(text),
  }),
  v.object({ ...SUBJECT, type: v.literal("unmeasured"), params, why: text }),
]);
