/** What `deno task tune` takes, and what its `--help` says. */
import { exitTerms } from "../edge/exit_codes.ts";
import { OWN_TUNING } from "../edge/files/tuning_file.ts";
import { SELECTION_FLAGS, WORKLOAD_FLAGS } from "../flags/case_flags.ts";
import type { Command } from "../flags/flag_table.ts";
import { asWritten, seconds, TOKENS_NOTE } from "../flags/flag_values.ts";
import { MEASURE_FLAGS } from "../flags/measure_flags.ts";
import { FINALISTS } from "../tuning/search.ts";

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
        help: "seconds for all of it, in equal shares for each kernel of each problem",
        more: "a kernel leaves the seconds that it does not use to those after it",
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
        help: "folder of the log tune.jsonl",
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
    },
  },
  notes: [
    `${TOKENS_NOTE} Models may be written in upper or lower case.`,
    "Only candidates that the kernel and this adapter's limits allow are tried. The defaults come " +
    "first. Then come candidates that differ from the best so far by one step of one parameter. " +
    "When all of these are tried, others follow from all over the space. Each candidate is checked " +
    "against the reference before it is timed, with few samples. The best " +
    `${FINALISTS} are then timed in full, interleaved with the defaults. A candidate wins if its ` +
    "whole 95% interval lies below that of the defaults. A candidate that hangs costs itself alone. " +
    "One that a lost device came upon is tried again on a fresh device, and left unmeasured if that " +
    "is lost too. report --tune LOG draws what was tried.",
    "Entries are for one adapter, driver and backend, and for the kernel's sources and candidates as " +
    "they are: after a change of one of these they are passed over.",
    exitTerms("done", "no candidate of a kernel was right"),
  ],
} as const satisfies Command;
