/** Parses the flags of `deno task compare`. Touches no file. */
import { parseFlags } from "../flags/parse_flags.ts";
import { UsageError } from "../base/usage_error.ts";
import { COMPARE_COMMAND, type FailOn } from "./flags.ts";
import { FORMAT_NAMES, type FormatName } from "./formats.ts";
import type { MetricName } from "./metrics.ts";
import type { Limits } from "./verdict.ts";

/** The options of one `deno task compare`. */
export interface CompareOptions {
  /** Results files or folders, the base first; at least two. */
  readonly paths: readonly string[];
  /** Globs of kernels' names; null for all kernels. */
  readonly kernels: readonly string[] | null;
  readonly metric: MetricName;
  readonly format: FormatName | "text";
  readonly limits: Limits;
  /** The rows that make the command exit 1; null for none. */
  readonly failOn: FailOn | null;
}

/** Each run has one letter as its label. */
export const MOST_RUNS = 26;

/**
 * Parses the command line.
 *
 * @throws {UsageError} in one sentence, for the first mistake.
 */
export function parseCompareOptions(args: readonly string[]): CompareOptions {
  const { values, words } = parseFlags(COMPARE_COMMAND, args);
  if (!(words.length >= 2 && words.length <= MOST_RUNS)) {
    throw new UsageError(
      `compare takes 2 to ${MOST_RUNS} results files or folders, not ${words.length}.`,
    );
  }
  return {
    paths: words,
    kernels: values.kernels,
    metric: values.metric,
    format: FORMAT_NAMES.find((name) => values[name]) ?? "text",
    limits: { samePct: values.same, driftUs: values.drift },
    failOn: values["fail-on"],
  };
}
