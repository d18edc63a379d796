/**
 * Says what changed between runs: `deno task compare`. Exits 0 when done, 1 if `--fail-on` found what
 * it looks for, else as `exit_codes.ts` says.
 * @module
 */
import { EXIT } from "../exit_codes.ts";
import { readResults } from "../read_results.ts";
import { UsageError } from "../usage_error.ts";
import { compareRuns, type Comparison, slowerRows } from "./comparison.ts";
import { FORMATS } from "./formats.ts";
import { COMPARE_HELP } from "./help.ts";
import { type CompareOptions, type FailOn, parseCompareOptions } from "./options.ts";
import type { Recording } from "./pairing.ts";
import { runCommand } from "../run_command.ts";

function main(args: readonly string[]): number {
  const options = parseCompareOptions(args);
  if (options.help) {
    console.log(COMPARE_HELP);
    return EXIT.ok;
  }
  const comparison = compareFiles(options);
  console.log(FORMATS[options.format](comparison));
  return options.failOn && fails(comparison, options.failOn) ? EXIT.failed : EXIT.ok;
}

function compareFiles({ paths, metric, limits }: CompareOptions): Comparison {
  const recordings = paths.map((path, i): Recording => {
    const { rows, warning } = readResults(path);
    if (warning !== null) console.error(warning);
    if (rows.length === 0) throw new UsageError(`${path} has no rows.`);
    return { label: String.fromCharCode("A".charCodeAt(0) + i), path, rows };
  });
  const comparison = compareRuns(recordings, metric, limits);
  if (comparison.rows.length > 0) return comparison;
  throw new UsageError(`${paths.join(" and ")} have no kernel and case in common.`);
}

/** Says on stderr, apart from what a program may read, why the command fails. */
function fails(comparison: Comparison, { slowerPct }: FailOn): boolean {
  const rows = slowerRows(comparison, slowerPct);
  if (rows.length === 0) return false;
  const by = slowerPct === null ? "" : ` by more than ${slowerPct}%`;
  const names = rows.slice(0, 3).map(({ kernel, caseId }) => `${kernel} [${caseId}]`).join(", ");
  const more = rows.length > 3 ? ` and ${rows.length - 3} more` : "";
  console.error(`Slower${by} or newly FAILED: ${names}${more}.`);
  return true;
}

if (import.meta.main) Deno.exit(await runCommand(main, Deno.args));
