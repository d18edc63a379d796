/**
 * The log of a tuner: a line of JSON for each measurement, on disk before the next one begins. A
 * resumed run reads all lines of a killed run except an unfinished last one.
 */
import * as v from "valibot";
import type { Params } from "../../kernels/core/problem/constants.ts";
import { parseStrictJson } from "../../kernels/maps/strict_json.ts";
import type { TuningKey } from "../../kernels/core/tuning.ts";
import { UsageError } from "../base/usage_error.ts";
import { type Measured, type Opened, PHASES, type Unmeasured } from "./messages.ts";

/** The subject of a measurement. Other machines and other sources are other subjects. */
export interface LogSubject extends Required<TuningKey> {
  readonly case_id: string;
  readonly kernel: string;
  /** The checksum of the kernel's sources and candidates. */
  readonly checksum: string;
}

/** The event of a line: the start of a kernel's tuning, a candidate's result, or the end. */
export type LogEvent =
  | ({ readonly type: "opened" } & Opened)
  | ({ readonly type: "measured" } & Measured)
  | ({ readonly type: "unmeasured" } & Unmeasured)
  | { readonly type: "done" };

/** A line of the log. */
export type LogLine = LogSubject & { readonly utc: string } & LogEvent;

/**
 * Parses the text of a log, in which all lines are whole.
 *
 * @param path The path that errors name.
 * @throws {UsageError} naming the first line that is not a line of a tuner's log.
 */
export function parseLog(text: string, path: string): LogLine[] {
  return text.split("\n").slice(0, -1).map((line, i) => {
    const { success, output } = v.safeParse(LINE, parsed(line));
    if (!success) throw new UsageError(`${path}: line ${i + 1} is not a line of a tuner's log.`);
    return output;
  });
}

/** The measurements of a subject in a log. */
export interface Known {
  /** The kernel's default parameters; null before its tuning began. */
  readonly defaults: Params | null;
  /** In the order of the log. */
  readonly measured: readonly Measured[];
  /** Whether its tuning is done. */
  readonly done: boolean;
}

/** The measurements of a subject in the lines of a log. */
export function known(lines: readonly LogLine[], subject: LogSubject): Known {
  const matches = lines.filter((line) =>
    Object.entries(subject).every(([name, value]) => line[name as keyof LogSubject] === value)
  );
  return {
    defaults: matches.find((line) => line.type === "opened")?.defaults ?? null,
    measured: matches.filter((line) => line.type === "measured")
      .map(({ phase, params, us, low, high, samples, failure }) => (
        { phase, params, us, low, high, samples, failure }
      )),
    done: matches.some(({ type }) => type === "done"),
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
/** Older logs have a phase `round` between the two, which did not measure in full. */
const phase = v.pipe(
  v.picklist([...PHASES, "round"]),
  v.transform((name) => name === "round" ? "explore" : name),
);
const SUBJECT = {
  adapter: text,
  driver: text,
  backend: text,
  // Older logs lack it.
  compiler: v.optional(text, "naga"),
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
