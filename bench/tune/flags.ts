/** What `deno task tune` takes, and what its `--help` says. */
import { UsageError } from "../base/usage_error.ts";
import { exitTerms } from "../edge/exit_codes.ts";
import { OWN_TUNING } from "../edge/files/tuning_file.ts";
import { SELECTION_FLAGS, WORKLOAD_FLAGS } from "../flags/case_flags.ts";
import type { Command } from "../flags/flag_table.ts";
import { asWritten, list, oneOf, seconds, TOKENS_NOTE } from "../flags/flag_values.ts";
import { MEASURE_FLAGS } from "../flags/measure_flags.ts";
import { FINALISTS } from "../tuning/halving.ts";
import { STRATEGIES } from "../tuning/strategies.ts";

/** `deno task tune`. */
export const TUNE_COMMAND = {
  purpose:
    "Finds the best parameters of kernels for problems on this device, and leaves them where " +
    "bench looks.",
  usage: "deno task tune [flags]",
  sections: {
    "What to tune": WORKLOAD_FLAGS,
    "How HashAttention selects": SELECTION_FLAGS,
    "How to search": {
      budget: {
        value: "SEC",
        default: "300",
        read: seconds,
        help: "seconds for all of it, shared out over kernels and problems",
      },
      strategy: {
        value: "NAME",
        defaultNote: "exhaustive where all candidates fit the kernel's share of the budget, else " +
          "hill-climb",
        read: oneOf(...STRATEGIES),
        help: `one of ${STRATEGIES.join(", ")}`,
      },
      silence: {
        value: "SEC",
        default: "30",
        read: seconds,
        help: "a candidate of which nothing is heard for so long has hung",
      },
    },
    "How to measure": MEASURE_FLAGS,
    Files: {
      out: {
        value: "DIR",
        defaultNote: "results/<UTC-time>-tune",
        read: asWritten,
        help: "folder of the log tune.jsonl and of heat maps",
      },
      resume: {
        help: "go on with the run whose log is in --out; nothing is measured again",
        needs: { out: "the --out of the run that it goes on with" },
      },
      tuned: {
        value: "FILE",
        default: OWN_TUNING,
        read: asWritten,
        help: "where the winners go",
        more: "bench looks at the default",
      },
      "heat-map": {
        value: "X,Y",
        read: readTwoParameters,
        help: "draw the medians over two parameters, an SVG for each kernel that has both",
      },
    },
  },
  notes: [
    `${TOKENS_NOTE} Models may be written in upper or lower case.`,
    "Only candidates that the kernel and this adapter's limits allow are tried. Each is checked " +
    "against the reference before it is timed. A first round takes few samples of every candidate; " +
    `the best are timed again, and the last ${FINALISTS} in full, interleaved with the defaults. A ` +
    "candidate wins if its whole 95% interval lies below that of the defaults. One that hangs costs " +
    "itself alone; one that a lost device came upon is tried again on a fresh one, and left " +
    "unmeasured if that is lost too.",
    "Entries are for one adapter, driver and backend, and for the kernel's sources and candidates as " +
    "they are: after a change of one of these they are passed over.",
    exitTerms("done", "no candidate of a kernel was right"),
  ],
} as const satisfies Command;

function readTwoParameters(name: string, text: string): readonly [string, string] {
  const [x, y, ...more] = list(name, text);
  if (y === undefined || more.length > 0) {
    throw new UsageError(`--${name} takes two parameters, such as WORKGROUP,LANES.`);
  }
  return [x, y];
}
