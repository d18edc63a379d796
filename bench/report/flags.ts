/** The flags and the help text of `deno task report`. */
import { exitTerms } from "../edge/exit_codes.ts";
import type { Command } from "../flags/flag_table.ts";
import { asWritten, decimal, list } from "../flags/flag_values.ts";
import { DEFAULT_MAX_ERROR } from "../findings/frontier.ts";

/** `deno task report`. */
export const REPORT_COMMAND = {
  purpose:
    "Writes results as one HTML file that needs no network: figures, and the tables of their " +
    "numbers.",
  usage: "deno task report RESULTS... [flags]",
  words: ["RESULTS", "files that bench wrote (CSV or --json), or folders of a results.csv"],
  sections: {
    Flags: {
      peers: {
        value: "FILE,..",
        read: list,
        help:
          "CSV files of other software's times, as for bench --peers; if the results are of several " +
          "adapters, ADAPTER=FILE with a part of the adapter's name",
      },
      quality: { value: "FILE,..", read: list, help: "CSV files that quality --csv wrote" },
      frontier: {
        value: "FILE,..",
        read: list,
        help: "CSV files that frontier wrote, or folders of a frontier.csv",
      },
      "max-error": {
        value: "E",
        default: String(DEFAULT_MAX_ERROR),
        read: decimal(0, 10),
        help: "error for which the figures of --frontier name the best step",
        needs: { frontier: "--frontier FILE" },
      },
      heads: {
        value: "TRACE,..",
        defaultNote: "all",
        read: list,
        help: "traces of --frontier, by the names in their column, that its figures are of",
        needs: { frontier: "--frontier FILE" },
      },
      tune: {
        value: "FILE,..",
        read: list,
        help: "logs that tune wrote, or folders of a tune.jsonl",
      },
      out: { value: "FILE", default: "report.html", read: asWritten, help: "the report" },
      svg: { value: "DIR", read: asWritten, help: "also write each figure as an SVG file" },
    },
  },
  notes: [
    "With results of several GPUs, the page begins with a comparison of them: speedups, cases, and " +
    "the rates of their own probes. Rows that differ in adapter, driver, backend, runtime, commit " +
    "or timer are never joined: each such run counts as a separate device. Software adapters " +
    "appear only in their own sections.",
    "Figures, for each device: speedup over dense attention against KV length, dense attention " +
    "beside each stage and the whole step, and the rates of all kernels below the device's own " +
    "probes. Figures from tuners' logs: the medians of each kernel over the two parameters that " +
    "matter most. Figures from quality files: the output error and the attention mass caught " +
    "against the budget. Figures from files of frontier: the time of each step against its error.",
    exitTerms("done", null),
  ],
} as const satisfies Command;
