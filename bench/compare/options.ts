/** Flags of `deno task compare`, read and checked. Nothing here touches a file. */
import { decimal, list, oneOf } from "../flags/flag_values.ts";
import { readFlags } from "../flags/read_flags.ts";
import { UsageError } from "../base/usage_error.ts";
import { FORMAT_NAMES, type FormatName } from "./formats.ts";
import { METRIC_NAMES, type MetricName } from "./metrics.ts";
import { DEFAULT_LIMITS, type Limits } from "./verdict.ts";

/** What one call is to do. */
export interface CompareOptions {
  /** Results files or folders, the base first; at least two. */
  readonly paths: readonly string[];
  /** Globs of kernels' names; null for all kernels. */
  readonly kernels: readonly string[] | null;
  readonly metric: MetricName;
  readonly format: FormatName | "text";
  readonly limits: Limits;
  /** Null where nothing makes the command fail. */
  readonly failOn: FailOn | null;
}

/** What makes the command exit 1. */
export interface FailOn {
  /** By how many percent a row must be slower; null for the limit of SAME. */
  readonly slowerPct: number | null;
}

/** Runs have labels of one letter. */
export const MOST_RUNS = 26;
const MOST_PCT = 1000;

/**
 * Reads the command line.
 *
 * @throws {UsageError} one sentence on the first thing that is wrong.
 */
export function parseCompareOptions(args: readonly string[]): CompareOptions {
  const { switches, texts, words } = readFlags(
    args,
    FORMAT_NAMES,
    ["kernels", "metric", "same", "drift", "fail-on"],
    { words: true },
  );
  const formats = FORMAT_NAMES.filter((name) => switches[name]);
  if (formats.length > 1) {
    throw new UsageError(`--${formats[0]} and --${formats[1]} contradict each other.`);
  }
  if (!(words.length >= 2 && words.length <= MOST_RUNS)) {
    throw new UsageError(
      `compare takes 2 to ${MOST_RUNS} results files or folders, not ${words.length}.`,
    );
  }
  const number = (name: string, fallback: number) => {
    const text = texts.get(name);
    return text === undefined ? fallback : numberUpTo(name, text, MOST_PCT);
  };
  const failOn = texts.get("fail-on");
  const kernels = texts.get("kernels");
  return {
    paths: words,
    kernels: kernels === undefined ? null : list("kernels", kernels),
    metric: oneOf(...METRIC_NAMES)("metric", texts.get("metric") ?? "time"),
    format: formats[0] ?? "text",
    limits: {
      samePct: number("same", DEFAULT_LIMITS.samePct),
      driftUs: number("drift", DEFAULT_LIMITS.driftUs),
    },
    failOn: failOn === undefined ? null : parseFailOn(failOn),
  };
}

function parseFailOn(text: string): FailOn {
  const [what, pct, ...more] = text.split(":");
  if (what !== "slower" || more.length > 0) {
    throw new UsageError(`--fail-on takes slower or slower:PCT, not "${text}".`);
  }
  return { slowerPct: pct === undefined ? null : numberUpTo("fail-on slower", pct, MOST_PCT) };
}

function numberUpTo(name: string, text: string, max: number): number {
  return decimal(0, max)(name, text);
}
