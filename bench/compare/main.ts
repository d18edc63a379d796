/**
 * `deno task compare`: shows what changed between runs. Exits 0 when done, 1 if `--fail-on` found a
 * row, otherwise with a code of `exit_codes.ts`.
 * @module
 */
import { EXIT } from "../edge/exit_codes.ts";
import { readResults } from "../edge/files/read_files.ts";
import { matching } from "../cases/kernel_globs.ts";
import { runsOf } from "../findings/series.ts";
import { UsageError } from "../base/usage_error.ts";
import { compareRuns, type Comparison, slowerRows } from "./comparison.ts";
import { FORMATS } from "./formats.ts";
import { COMPARE_COMMAND, type FailOn } from "./flags.ts";
import { type CompareOptions, MOST_RUNS, parseCompareOptions } from "./options.ts";
import type { Recording } from "./pairing.ts";
import { runCommand } from "../edge/run_command.ts";
import { terminalWidth } from "../edge/terminal.ts";

function main(args: readonly string[]): number {
  const options = parseCompareOptions(args);
  const comparison = compareFiles(options);
  console.log(FORMATS[options.format](comparison, terminalWidth()));
  return options.failOn && fails(comparison, options.failOn) ? EXIT.failed : EXIT.ok;
}

function compareFiles({ paths, kernels, metric, limits }: CompareOptions): Comparison {
  const recordings = chosen(recordingsOf(paths), kernels);
  const comparison = compareRuns(recordings, metric, limits);
  if (comparison.rows.length > 0) return comparison;
  const files = paths.join(" and ");
  if (kernels === null) throw new UsageError(`${files} have no kernel and case in common.`);
  throw new UsageError(`${files} have no kernel of --kernels ${kernels.join()} in common.`);
}

/** The runs of the files. A file with rows of several devices or commits holds several runs. */
function recordingsOf(paths: readonly string[]): Recording[] {
  const runs = paths.flatMap((path) => {
    const { rows, warning } = readResults(path);
    if (warning !== null) console.error(warning);
    if (rows.length === 0) throw new UsageError(`${path} has no rows.`);
    return runsOf(rows).map((rows) => ({ path, rows }));
  });
  if (runs.length > MOST_RUNS) {
    throw new UsageError(`The files hold ${runs.length} runs; compare takes up to ${MOST_RUNS}.`);
  }
  const letter = (i: number) => String.fromCharCode("A".charCodeAt(0) + i);
  return runs.map((run, i) => ({ label: letter(i), ...run }));
}

/** The recordings, with only the rows of kernels that match a glob; null keeps all rows. */
function chosen(recordings: readonly Recording[], globs: readonly string[] | null): Recording[] {
  if (globs === null) return [...recordings];
  const names = new Set(recordings.flatMap(({ rows }) => rows.map(({ kernel }) => kernel)));
  const wanted = new Set(
    matching(Array.from(names, (name) => ({ name })), globs).map(({ name }) => name),
  );
  if (wanted.size === 0) {
    throw new UsageError(
      `--kernels ${globs.join()} matches no kernel of the files, which have ${
        [...names].sort().join(", ")
      }.`,
    );
  }
  return recordings.map((recording) => ({
    ...recording,
    rows: recording.rows.filter(({ kernel }) => wanted.has(kernel)),
  }));
}

/** Whether the command fails. Names the rows on stderr, since a program may read stdout. */
function fails(comparison: Comparison, { slowerPct }: FailOn): boolean {
  const rows = slowerRows(comparison, slowerPct);
  if (rows.length === 0) return false;
  const by = slowerPct === null ? "" : ` by more than ${slowerPct}%`;
  const names = rows.slice(0, 3).map(({ kernel, caseId }) => `${kernel} [${caseId}]`).join(", ");
  const more = rows.length > 3 ? ` and ${rows.length - 3} more` : "";
  console.error(`Slower${by} or newly FAILED: ${names}${more}.`);
  return true;
}

if (import.meta.main) Deno.exit(await runCommand(main, Deno.args, COMPARE_COMMAND));
