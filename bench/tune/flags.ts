/** The flags and the help text of `deno task tune`. */
import { exitTerms } from "../edge/exit_codes.ts";
import { OWN_TUNING } from "../edge/files/tuning_file.ts";
import { WORKLOAD_FLAGS } from "../flags/case_flags.ts";
import { SELECTION_FLAGS } from "../flags/selection_flags.ts";
import type { Command } from "../flags/flag_table.ts";
import { asWritten, seconds, TOKENS_NOTE } from "../flags/flag_values.ts";
import { MEASURE_FLAGS } from "../flags/measure_flags.ts";
import { FINALISTS } from "../tuning/search.ts";

/** `deno task tune`. */
export const TUNE_COMMAND = {
  purpose:
    "Finds the best parameters of kernels for problems on this device, and saves them for bench.",
  usage: "deno task tune [flags]",
  sections: {
    "What to tune": WORKLOAD_FLAGS,
    "How HashAttention selects": SELECTION_FLAGS,
    "How to search": {
      budget: {
        value: "SEC",
        default: "300",
        read: seconds,
        help: "seconds for the whole run, in equal shares for each kernel of each problem",
        more: "seconds that a kernel does not use go to the kernels after it",
      },
      silence: {
        value: "SEC",
        default: "30",
        read: seconds,
        help: "seconds without a sign of life after which a candidate counts as hung",
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
        help: "continue the run whose log is in --out; nothing is measured again",
        needs: { out: "the --out of the run to continue" },
      },
      tuned: {
        value: "FILE",
        default: OWN_TUNING,
        read: asWritten,
        help: "file for the winners",
        more: "bench reads the default file",
      },
    },
  },
  notes: [
    `${TOKENS_NOTE} Models may be written in upper or lower case.`,
    "Only candidates that the kernel and this adapter's limits allow are tried. The defaults come " +
    "first, then candidates that differ from the best so far by one step of one parameter. When " +
    "all of these are tried, others from the whole space follow. Each candidate is checked " +
    "against the reference before it is timed, with few samples. The best " +
    `${FINALISTS} are then timed in full, interleaved with the defaults. A candidate wins if its ` +
    "whole 95% interval lies below that of the defaults. A candidate that hangs affects no other. " +
    "If the device is lost, its candidate is tried again on a fresh device, and left unmeasured if " +
    "that is lost too. report --tune LOG draws all candidates.",
    "An entry is for one adapter, driver and backend, and for the current sources and candidates of " +
    "the kernel: after a change of one of these, bench ignores it.",
    exitTerms("done", "all candidates of a kernel failed"),
  ],
} as const satisfies Command;
