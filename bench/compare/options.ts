/** Flags of `deno task compare`, read and checked. Nothing here touches a file. */
import { parseFlags } from "../flags/parse_flags.ts";
import { UsageError } from "../base/usage_error.ts";
import { COMPARE_COMMAND, type FailOn } from "./flags.ts";
import { FORMAT_NAMES, type FormatName } from "./formats.ts";
import type { MetricName } from "./metrics.ts";
import type { Limits } from "./verdict.ts";

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

/** Runs have labels of one letter. */
export const MOST_RUNS = 26;

/**
 * Reads the command line.
 *
 * @throws {UsageError} one sentence on the first thing that is wrong.
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
