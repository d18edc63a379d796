/** The flags and the help text of `deno task compare`. */
import { UsageError } from "../base/usage_error.ts";
import { exitTerms } from "../edge/exit_codes.ts";
import type { Command } from "../flags/flag_table.ts";
import { decimal, list, oneOf } from "../flags/flag_values.ts";
import { PAIR_COLUMNS } from "./formats.ts";
import { METRIC_NAMES, METRICS } from "./metrics.ts";
import { DEFAULT_LIMITS } from "./verdict.ts";

/** The rows that make the command exit 1. */
export interface FailOn {
  /** A row counts if it is slower by more than this percentage; null for the limit of SAME. */
  readonly slowerPct: number | null;
}

const percent = decimal(0, 1000);

/** `deno task compare`. */
export const COMPARE_COMMAND = {
  purpose: "Shows what changed between runs of different code, cards, drivers or backends.",
  usage: "deno task compare A B [...] [flags]",
  about:
    "The first run is the base. Every other run is compared with it, row by row, where kernel and " +
    "case are equal. If a run has several rows of a kernel and case, the last one counts; rows " +
    "with --hot are separate cases. A file whose rows differ in device, driver, backend, runtime, " +
    "commit or timer holds several runs, each with its own letter. The counts and the stages come " +
    "first, then the rows, the largest change on top.",
  words: ["A B [...]", "results.csv files, or the folders that hold them; the base comes first"],
  sections: {
    Flags: {
      kernels: {
        value: "GLOB,..",
        defaultNote: "all",
        read: list,
        help: "compare only these kernels, such as 'dense/*,pipeline/*'",
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
        help: "percentage by which a ratio may differ from 1 to count as SAME",
      },
      drift: {
        value: "US",
        default: String(DEFAULT_LIMITS.driftUs),
        read: percent,
        help: "microseconds that --same is widened by, as a share of the base's time",
      },
      "fail-on": {
        value: "slower[:PCT]",
        read: readFailOn,
        help: "exit 1 if a row is SLOWER or newly FAILED; PCT replaces --same; probes do not count",
      },
      markdown: { help: "print Markdown instead of text" },
      json: { help: "print JSON instead of text", contradicts: ["markdown"] },
    },
  },
  notes: [
    {
      heading: "Metrics",
      terms: METRIC_NAMES.map((name) => [name, METRICS[name].description] as const),
    },
    "The metric roofline treats the roofline as exact: the interval leaves out the noise of the " +
    "probes.",
    {
      heading: "Verdicts",
      about:
        "The 95% interval of a ratio of two medians comes from the recorded intervals of the " +
        "medians (order statistics, any distribution), by the method of variance estimates " +
        "recovery on the logarithms (Zou and Donner, Statistics in Medicine 27, 2008). As in tests " +
        "of equivalence:",
      terms: [
        ["SAME", "the interval lies within the limit: --same and --drift together"],
        ["FASTER, SLOWER", "the interval lies wholly beyond the limit"],
        ["NEARER, FARTHER", "the same of --metric roofline: to the roofline of its own card"],
        ["UNSURE", "the interval crosses the limit: measure longer, or several times"],
        ["FAILED", "a check failed in one of the runs"],
        ["NO VALUE", "the metric is not defined for the row"],
      ],
    },
    "The interval of one run does not include the drift to the next run: of the clock, of the " +
    "driver's placement of pages, of the cost of a dispatch. The limit allows for drift: --same for " +
    "drift that grows with the time, --drift for the rest. At the defaults, the halves of one H100 " +
    "run are the SAME in 411 of 414 rows and differ in none. Of two runs on two such cards, 240 of " +
    "241 rows are the SAME; of an earlier pair, 202 of 208. The others are gathers of scattered " +
    "rows, which differ by up to 6% with the placement of pages, and a step of 6 us that moved by " +
    "0.3 us. If samples are steady, a change of 5% shows as SLOWER in steps of about 7 us or more, " +
    "and as UNSURE in shorter ones; --drift 0 is stricter with short steps. Each run's " +
    "samples.jsonl has the raw samples.",
    "--json prints an object (ComparisonReport in bench/compare/formats.ts): metric, limits, files " +
    "(the base first), cardsDiffer, rows, stages (geometric means and counts for each other file), " +
    "unpaired, replaced, samples, fewSamples, otherParams, otherSets. Its rows have one " +
    `record per pair: ${PAIR_COLUMNS.join(", ")}.`,
    exitTerms("done", "--fail-on found a slower or newly FAILED row"),
  ],
} as const satisfies Command;

function readFailOn(_name: string, text: string): FailOn {
  const [verdict, pct, ...more] = text.split(":");
  if (verdict !== "slower" || more.length > 0) {
    throw new UsageError(`--fail-on takes slower or slower:PCT, not "${text}".`);
  }
  return { slowerPct: pct === undefined ? null : percent("fail-on slower", pct) };
}
