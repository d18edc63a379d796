/** The text of `deno task report --help`. */
import { exitHelp } from "../edge/exit_codes.ts";

/** The text of `--help`. */
export const REPORT_HELP: string = `\
Writes results as one HTML file that needs no network: figures, and the tables behind them.

Usage: deno task report RESULTS... [flags]

  RESULTS             files that bench wrote (CSV or --json), or folders of a results.csv
  --peers FILE,..     CSV of other software's times, as bench --peers takes them; with results of
                      several adapters as ADAPTER=FILE, with a part of the adapter's name
  --quality FILE,..   CSV that quality --csv wrote
  --tune FILE,..      logs that tune wrote, or folders of a tune.jsonl
  --out FILE          the report (default report.html)
  --svg DIR           write each figure as an SVG file, too
  --version           print the version, commit and runtime
  --help              print this text

With results of several GPUs the page begins with them side by side: speedups, cases, and what their
own probes reach. Rows that differ in adapter, driver, backend, runtime, commit or timer are never
joined: each such run is a device of its own. Software adapters have sections of their own alone.

Figures, for each device: speedup over dense attention against KV length, dense attention beside each
stage and the whole step, and the rates of all kernels below the device's own probes; from tuners'
logs, the medians of each kernel over the two parameters that tell most; from quality files, the
output's error and the attention mass caught against the budget.

${exitHelp("done", null)}`;
