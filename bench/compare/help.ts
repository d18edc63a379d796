/** The text of `deno task compare --help`. */
import { exitHelp } from "../edge/exit_codes.ts";
import { PAIR_COLUMNS } from "./formats.ts";
import { METRIC_NAMES, METRICS } from "./metrics.ts";
import { DEFAULT_LIMITS } from "./verdict.ts";

const METRIC_LINES = METRIC_NAMES.map((name) => `  ${name.padEnd(10)}${METRICS[name].description}`)
  .join("\n");

/** The text of `--help`. */
export const COMPARE_HELP: string = `\
Says what changed between runs: other code, card, driver or backend.

Usage: deno task compare A B [...] [flags]    (results.csv files, or the folders that hold them)

The first run is the base; every other is set against it, row by row of equal kernel and case. Of
several rows in a run the last counts; runs with --hot are cases of their own. A file whose rows
differ in device, driver, backend, runtime, commit or timer holds several runs, each with a letter
of its own. The counts and the stages come first, then the rows, the largest change on top.

  --kernels GLOBS    compare these kernels alone, such as 'dense/*,pipeline/*' (default all)
  --metric NAME      time, gbytes or roofline (default time)
  --same PCT         how far from 1 a ratio may be for SAME (default ${DEFAULT_LIMITS.samePct})
  --drift US         microseconds on top, in percent of the base's time (default ${DEFAULT_LIMITS.driftUs})
  --fail-on slower   exit 1 if a row is SLOWER, or FAILED where the base is not; probes do not count
  --fail-on slower:PCT
                     the same with PCT in place of --same
  --markdown, --json
                     print in that format in place of text
  --version          print the version, commit and runtime
  --help             print this text

Metrics
${METRIC_LINES}
roofline takes the roofline as exact: its probes' own noise is not in the interval.

Verdicts
The ratio of two medians has a 95% interval made from the two intervals of the medians that the runs
recorded (order statistics, any distribution), by the method of variance estimates recovery on the
logarithms (Zou and Donner, Statistics in Medicine 27, 2008). As in tests of equivalence:
  SAME            the interval lies within the limit: --same and --drift together
  FASTER, SLOWER  it lies wholly beyond the limit
  UNSURE          it lies across: measure longer, or several times
  FAILED          a check failed in one of the runs
  NO VALUE        the metric is not defined for the row
A run's interval cannot see how the next run drifts: the clock, where the driver puts pages, what
a dispatch costs. The limit stands for that: --same covers what grows with the time, --drift what
does not. At the default, halves of one H100's run are the SAME in 411 of 414 rows and differ in
none; of runs on two such cards 240 of 241 are the SAME, and of an earlier pair 202 of 208. The rest
are gathers of scattered rows, up to 6% apart by where pages fall, and a step of 6 us that moved by
0.3. A change of 5% shows as
SLOWER from some 7 us per step on where samples are steady, and as UNSURE below: --drift 0 verifies
short steps harder. Raw samples are in samples.jsonl of each run.

--json prints an object (ComparisonReport in bench/compare/formats.ts): metric, limits, files (the
base first), cardsDiffer, rows, stages (geometric means and counts for each other file), unpaired,
replaced, samples, fewSamples, otherParams. Its rows are a record per pair:
${PAIR_COLUMNS.slice(0, 6).join(", ")},
${PAIR_COLUMNS.slice(6).join(", ")}.

${exitHelp("done", "found what --fail-on looks for")}`;
