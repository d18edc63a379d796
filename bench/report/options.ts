/** Flags of `deno task report`, read and checked. Nothing here touches a file. */
import { UsageError } from "../base/usage_error.ts";
import { parseFlags } from "../flags/parse_flags.ts";
import { REPORT_COMMAND } from "./flags.ts";

/** What one call is to do. */
export interface ReportOptions {
  /** Results files, or folders of one. */
  readonly results: readonly string[];
  /** `FILE` or `ADAPTER=FILE`. */
  readonly peers: readonly string[];
  readonly quality: readonly string[];
  /** Tuners' logs, or folders of one. */
  readonly tune: readonly string[];
  readonly out: string;
  /** Folder for the figures as files. */
  readonly svg: string | null;
}

/**
 * Reads the command line.
 *
 * @throws {UsageError} one sentence on the first thing that is wrong.
 */
export function parseReportOptions(args: readonly string[]): ReportOptions {
  const { values, words } = parseFlags(REPORT_COMMAND, args);
  const { peers, quality, tune, out, svg } = values;
  if (words.length === 0 && quality === null && tune === null) {
    throw new UsageError("Name a results file or its folder; --help tells more.");
  }
  return {
    results: [...new Set(words)],
    peers: peers ?? [],
    quality: quality ?? [],
    tune: tune ?? [],
    out,
    svg,
  };
}
