/** What `deno task compare` takes, and what its `--help` says. */
import { UsageError } from "../base/usage_error.ts";
import { exitTerms } from "../edge/exit_codes.ts";
import type { Command } from "../flags/flag_table.ts";
import { decimal, list, oneOf } from "../flags/flag_values.ts";
import { PAIR_COLUMNS } from "./formats.ts";
import { METRIC_NAMES, METRICS } from "./metrics.ts";
import { DEFAULT_LIMITS } from "./verdict.ts";

/** What makes the command exit 1. */
export interface FailOn {
  /** By how many percent a row must be slower; null for the limit of SAME. */
  readonly slowerPct: number | null;
}

const percent = decimal(0, 1000);

/** `deno task compare`. */
export const COMPARE_COMMAND = {
  purpose: "Says what changed between runs: other code, card, driver or backend.",
  usage: "deno task compare A B [...] [flags]",
  about:
    "The first run is the base; every other is set against it, row by row of equal kernel and " +
    "case. Of several rows in a run the last counts; runs with --hot are cases of their own. A file " +
    "whose rows differ in device, driver, backend, runtime, commit or timer holds several runs, " +
    "each with a letter of its own. The counts and the stages come first, then the rows, the " +
    "largest change on top.",
  words: ["A B [...]", "results.csv files, or the folders that hold them; the base comes first"],
  sections: {
    Flags: {
      kernels: {
        value: "GLOB,..",
        defaultNote: "all",
        read: list,
        help: "compare these kernels alone, such as 'dense/*,pipeline/*'",
      },
      metric: {
        value: "NAME",
        default: "time",
        read: oneOf(...METRIC_NAMES),
        help: `one of ${METRIC_NAMES.join(", ")}`,
      },
      same: {
        value: "PCT",
        default: String(DEFAULT_LIMITS.samePct),
        read: percent,
        help: "how far from 1 a ratio may be for SAME",
      },
      drift: {
        value: "US",
        default: String(DEFAULT_LIMITS.driftUs),
        read: percent,
        help: "microseconds on top, in percent of the base's time",
      },
      "fail-on": {
        value: "slower[:PCT]",
        read: readFailOn,
        help: "exit 1 if a row is SLOWER, or FAILED where the base is not; with PCT in place of " +
          "--same; probes do not count",
      },
      markdown: { help: "print Markdown in place of text" },
      json: { help: "print JSON in place of text", contradicts: ["markdown"] },
    },
  },
  notes: [
    {
      heading: "Metrics",
      terms: METRIC_NAMES.map((name) => [name, METRICS[name].description] as const),
    },
    "roofline takes the roofline as exact: its probes' own noise is not in the interval.",
    {
      heading: "Verdicts",
      about:
        "The ratio of two medians has a 95% interval made from the two intervals of the medians " +
        "that the runs recorded (order statistics, any distribution), by the method of variance " +
        "estimates recovery on the logarithms (Zou and Donner, Statistics in Medicine 27, 2008). " +
        "As in tests of equivalence:",
      terms: [
        ["SAME", "the interval lies within the limit: --same and --drift together"],
        ["FASTER, SLOWER", "it lies wholly beyond the limit"],
        ["UNSURE", "it lies across: measure longer, or several times"],
        ["FAILED", "a check failed in one of the runs"],
        ["NO VALUE", "the metric is not defined for the row"],
      ],
    },
    "A run's interval cannot see how the next run drifts: the clock, where the driver puts pages, " +
    "what a dispatch costs. The limit stands for that: --same covers what grows with the time, " +
    "--drift what does not. At the default, halves of one H100's run are the SAME in 411 of 414 " +
    "rows and differ in none; of runs on two such cards 240 of 241 are the SAME, and of an earlier " +
    "pair 202 of 208. The rest are gathers of scattered rows, up to 6% apart by where pages fall, " +
    "and a step of 6 us that moved by 0.3. A change of 5% shows as SLOWER from some 7 us per step " +
    "on where samples are steady, and as UNSURE below: --drift 0 verifies short steps harder. Raw " +
    "samples are in samples.jsonl of each run.",
    "--json prints an object (ComparisonReport in bench/compare/formats.ts): metric, limits, files " +
    "(the base first), cardsDiffer, rows, stages (geometric means and counts for each other file), " +
    "unpaired, replaced, samples, fewSamples, otherParams. Its rows are a " +
    `record per pair: ${PAIR_COLUMNS.join(", ")}.`,
    exitTerms("done", "found what --fail-on looks for"),
  ],
} as const satisfies Command;

function readFailOn(_name: string, text: string): FailOn {
  const [what, pct, ...more] = text.split(":");
  if (what !== "slower" || more.length > 0) {
    throw new UsageError(`--fail-on takes slower or slower:PCT, not "${text}".`);
  }
  return { slowerPct: pct === undefined ? null : percent("fail-on slower", pct) };
}
