/** Parses the flags of `deno task report`. Touches no file. */
import { UsageError } from "../base/usage_error.ts";
import { parseFlags } from "../flags/parse_flags.ts";
import { REPORT_COMMAND } from "./flags.ts";

/** The options of one `deno task report`. */
export interface ReportOptions {
  /** Results files, or folders that hold one. */
  readonly results: readonly string[];
  /** `FILE` or `ADAPTER=FILE`. */
  readonly peers: readonly string[];
  readonly quality: readonly string[];
  /** Files of \`frontier\`, or folders that hold one. */
  readonly frontier: readonly string[];
  /** Names of the traces whose rows of \`frontier\` are shown; null for all. */
  readonly heads: readonly string[] | null;
  /** Error for which the best step is named. */
  readonly maxError: number;
  /** Tuners' logs, or folders that hold one. */
  readonly tune: readonly string[];
  readonly out: string;
  /** Folder for the figures as files; null to write none. */
  readonly svg: string | null;
}

/**
 * Parses the command line.
 *
 * @throws {UsageError} in one sentence, for the first mistake.
 */
export function parseReportOptions(args: readonly string[]): ReportOptions {
  const { values, words } = parseFlags(REPORT_COMMAND, args);
  const { peers, quality, frontier, tune, out, svg } = values;
  if (words.length === 0 && quality === null && tune === null && frontier === null) {
    throw new UsageError("Name a results file or its folder; --help lists the flags.");
  }
  return {
    results: [...new Set(words)],
    peers: peers ?? [],
    quality: quality ?? [],
    frontier: frontier ?? [],
    heads: values.heads,
    maxError: values["max-error"],
    tune: tune ?? [],
    out,
    svg,
  };
}
