/** Flags of `deno task report`, read and checked. Nothing here touches a file. */
import { list } from "../flags/flag_values.ts";
import { readFlags } from "../flags/read_flags.ts";
import { UsageError } from "../base/usage_error.ts";

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

const VALUES = ["out", "peers", "quality", "svg", "tune"] as const;

/**
 * Reads the command line.
 *
 * @throws {UsageError} one sentence on the first thing that is wrong.
 */
export function parseReportOptions(args: readonly string[]): ReportOptions {
  const { texts, words } = readFlags(args, [], VALUES, { words: true });
  const paths = (name: (typeof VALUES)[number]) =>
    texts.has(name) ? list(name, texts.get(name)!) : [];
  const [quality, tune] = [paths("quality"), paths("tune")];
  if (words.length + quality.length + tune.length === 0) {
    throw new UsageError("Name a results file or its folder; --help tells more.");
  }
  return {
    results: [...new Set(words)],
    peers: paths("peers"),
    quality,
    tune,
    out: texts.get("out") ?? "report.html",
    svg: texts.get("svg") ?? null,
  };
}
