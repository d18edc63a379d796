/** What `deno task report` takes, and what its `--help` says. */
import { exitTerms } from "../edge/exit_codes.ts";
import type { Command } from "../flags/flag_table.ts";
import { asWritten, list } from "../flags/flag_values.ts";

/** `deno task report`. */
export const REPORT_COMMAND = {
  purpose:
    "Writes results as one HTML file that needs no network: figures, and the tables behind " +
    "them.",
  usage: "deno task report RESULTS... [flags]",
  words: ["RESULTS", "files that bench wrote (CSV or --json), or folders of a results.csv"],
  sections: {
    Flags: {
      peers: {
        value: "FILE,..",
        read: list,
        help:
          "CSV of other software's times, as bench --peers takes them; with results of several " +
          "adapters as ADAPTER=FILE, with a part of the adapter's name",
      },
      quality: { value: "FILE,..", read: list, help: "CSV that quality --csv wrote" },
      tune: {
        value: "FILE,..",
        read: list,
        help: "logs that tune wrote, or folders of a tune.jsonl",
      },
      out: { value: "FILE", default: "report.html", read: asWritten, help: "the report" },
      svg: { value: "DIR", read: asWritten, help: "write each figure as an SVG file, too" },
    },
  },
  notes: [
    "With results of several GPUs the page begins with them side by side: speedups, cases, and what " +
    "their own probes reach. Rows that differ in adapter, driver, backend, runtime, commit or timer " +
    "are never joined: each such run is a device of its own. Software adapters have sections of " +
    "their own alone.",
    "Figures, for each device: speedup over dense attention against KV length, dense attention " +
    "beside each stage and the whole step, and the rates of all kernels below the device's own " +
    "probes; from tuners' logs, the medians of each kernel over the two parameters that tell most; " +
    "from quality files, the output's error and the attention mass caught against the budget.",
    exitTerms("done", null),
  ],
} as const satisfies Command;
