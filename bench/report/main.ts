/**
 * Writes results as one HTML file of figures and tables: `deno task report`. Exits 0 when done, 2
 * for wrong usage.
 * @module
 */
import { readPeers } from "../peers.ts";
import { checkWritable, writeWhole } from "../quality/output_file.ts";
import { readResults } from "../read_results.ts";
import type { ResultRow } from "../row.ts";
import { UsageError } from "../usage_error.ts";
import { sectionsOf } from "./figures.ts";
import { REPORT_HELP } from "./help.ts";
import { parseReportOptions } from "./options.ts";
import { pageHtml } from "./page.ts";
import { readQuality } from "./quality.ts";
import { writeSvgFiles } from "./svg_files.ts";

const EXIT = { ok: 0, usage: 2 } as const;

function main(args: readonly string[]): number {
  const options = parseReportOptions(args);
  if (options.help) {
    console.log(REPORT_HELP);
    return EXIT.ok;
  }
  const sections = sectionsOf({
    rows: options.results.flatMap(readRows),
    peers: readPeers(options.peers),
    quality: options.quality.flatMap(readQualityRows),
  });
  checkWritable(options.out);
  const files = options.svg === null ? [] : writeSvgFiles(options.svg, sections);
  const command = ["deno task report", ...args.map(quoted)].join(" ");
  writeWhole(options.out, pageHtml(sections, { command, written: new Date().toISOString() }));
  for (const path of [...files, options.out]) console.log(`Written: ${path}`);
  return EXIT.ok;
}

function readRows(path: string): readonly ResultRow[] {
  const { rows, warning } = readResults(path);
  if (warning !== null) console.error(warning);
  if (rows.length === 0) throw new UsageError(`${path} has no rows.`);
  return rows;
}

function readQualityRows(path: string) {
  const rows = readQuality(path);
  if (rows.length === 0) throw new UsageError(`${path} has no rows.`);
  return rows;
}

/** An argument as a shell takes it. */
function quoted(text: string): string {
  return /^[\w@%+=:,./-]+$/.test(text) ? text : `'${text.replaceAll("'", `'\\''`)}'`;
}

/** Runs the command; what the caller got wrong becomes one sentence. */
function run(args: readonly string[]): number {
  try {
    return main(args);
  } catch (error) {
    if (!(error instanceof UsageError)) throw error;
    console.error(error.message);
    return EXIT.usage;
  }
}

if (import.meta.main) Deno.exit(run(Deno.args));
