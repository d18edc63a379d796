/**
 * Says whether two runs agree: how far the median of every kernel and case that both measured has
 * moved. `deno task compare A B` takes results files or folders; exits 0 if all moved within their
 * limits, 1 if any moved farther or FAILED its check, 2 for wrong usage.
 * @module
 */
import { compareRows, type Comparison, formatComparison } from "./comparison.ts";
import { readResults } from "./read_results.ts";
import { UsageError } from "./usage_error.ts";

const EXIT = { ok: 0, moved: 1, usage: 2 } as const;

const USAGE = `\
Says whether two runs agree: how far the median of every kernel and case in both has moved.

Usage: deno task compare A B    (results.csv files, or the folders that hold them)

Limits: 2% for dense and pipeline kernels; 3% or 0.3 us, whichever is larger, for other stages;
none for probes, which tell how the device itself has moved.

Exit code: 0 all within their limits, 1 some moved farther or FAILED a check, 2 wrong usage.`;

function compareFiles(paths: readonly string[]): Comparison {
  if (paths.length !== 2) {
    throw new UsageError(`compare takes two results files or folders, not ${paths.length}.`);
  }
  const [a, b] = paths.map((path) => {
    const { rows, warning } = readResults(path);
    if (warning !== null) console.error(warning);
    return rows;
  });
  const comparison = compareRows(a, b);
  if (comparison.pairs.length > 0) return comparison;
  throw new UsageError(`${paths.join(" and ")} have no kernel and case in common.`);
}

function main(args: readonly string[]): number {
  if (args.includes("--help") || args.includes("-h")) {
    console.log(USAGE);
    return EXIT.ok;
  }
  try {
    const comparison = compareFiles(args);
    console.log(formatComparison(comparison));
    return comparison.pairs.every(({ verdict }) => verdict === "ok") ? EXIT.ok : EXIT.moved;
  } catch (error) {
    if (!(error instanceof UsageError)) throw error;
    console.error(error.message);
    return EXIT.usage;
  }
}

if (import.meta.main) Deno.exit(main(Deno.args));
