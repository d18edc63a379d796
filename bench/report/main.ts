/**
 * `deno task report`: writes results as one HTML file of figures and tables. Exits 0 when done,
 * otherwise with a code of `exit_codes.ts`.
 * @module
 */
import { EXIT } from "../edge/exit_codes.ts";
import { checkWritable, writeWhole } from "../edge/files/output_file.ts";
import { counted } from "../base/counted.ts";
import { readFrontier } from "../edge/files/frontier_file.ts";
import { readResults } from "../edge/files/read_files.ts";
import type { ResultRow } from "../results/row.ts";
import { seriesOf, type SourcedRow } from "../findings/series.ts";
import { readLog } from "../edge/files/tune_log.ts";
import { UsageError } from "../base/usage_error.ts";
import { commandOf } from "../base/command.ts";
import { readDevicePeers } from "./device_peers.ts";
import { sectionsOf } from "../page/figures/figures.ts";
import { REPORT_COMMAND } from "./flags.ts";
import { parseReportOptions } from "./options.ts";
import { readQuality } from "../edge/files/read_files.ts";
import { writeSvgFiles } from "./svg_files.ts";
import { reportHtml } from "../page/report_html.ts";
import { runCommand } from "../edge/run_command.ts";
import type { FrontierRow } from "../results/frontier_rows.ts";

function main(args: readonly string[]): number {
  const options = parseReportOptions(args);
  const rows = readAll(options.results);
  const data = {
    rows,
    peers: readDevicePeers(options.peers, [...new Set(rows.map(({ adapter }) => adapter))]),
    quality: options.quality.flatMap(readQualityRows),
    tuning: options.tune.flatMap(readTuneLines),
    ...(options.frontier.length === 0 ? {} : {
      frontier: {
        rows: rowsOfHeads(options.frontier.flatMap(readFrontierRows), options.heads),
        maxError: options.maxError,
      },
    }),
  };
  checkWritable(options.out);
  const files = options.svg === null ? [] : writeSvgFiles(options.svg, sectionsOf(data));
  writeWhole(options.out, reportHtml(data, commandOf("report", args)));
  for (const path of [...files, options.out]) console.log(`Written: ${path}`);
  return EXIT.ok;
}

/** The rows of all files. Reports how many rows the page leaves out. */
function readAll(paths: readonly string[]): SourcedRow[] {
  const rows = paths.flatMap((path) => readRows(path).map((row) => ({ ...row, source: path })));
  const replaced = seriesOf(rows).reduce((sum, { replaced }) => sum + replaced, 0);
  if (replaced > 0) {
    console.error(
      `Left out ${counted(replaced, "row")}, since a later row has the same kernel and case.`,
    );
  }
  return rows;
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

function readFrontierRows(path: string) {
  const rows = readFrontier(path);
  if (rows.length === 0) throw new UsageError(`${path} has no rows.`);
  return rows;
}

/** The rows of some traces alone. */
function rowsOfHeads(rows: readonly FrontierRow[], heads: readonly string[] | null) {
  const known = new Set(rows.map(({ trace }) => trace));
  const unknown = heads?.find((head) => !known.has(head));
  if (unknown !== undefined) {
    throw new UsageError(
      `--frontier has no trace called ${unknown}; it has ${[...known].join(", ")}.`,
    );
  }
  return rows.filter(({ trace }) => heads === null || heads.includes(trace));
}

function readTuneLines(path: string) {
  const lines = readLog(path);
  if (lines.every(({ type }) => type !== "measured")) {
    throw new UsageError(`${path} has no measurements.`);
  }
  return lines;
}

if (import.meta.main) Deno.exit(await runCommand(main, Deno.args, REPORT_COMMAND));
