/** What `deno task bench` takes, and what its `--help` says. */
import { QUICK_KV_LENS, SOFTWARE_KV_LEN } from "../cases/quick.ts";
import { exitTerms } from "../edge/exit_codes.ts";
import { OWN_TUNING } from "../edge/files/tuning_file.ts";
import { kvLength, SELECTION_FLAGS, WORKLOAD_FLAGS } from "../flags/case_flags.ts";
import type { Command } from "../flags/flag_table.ts";
import { asWritten, list, oneOf, seconds, sequenceOf, TOKENS_NOTE } from "../flags/flag_values.ts";
import { MEASURE_FLAGS } from "../flags/measure_flags.ts";
import { asUsage } from "../base/usage_error.ts";
import { FEWEST_SAMPLES } from "../measure/clock/sampler.ts";
import { HAND_OVER_CHOICES, type HandOverChoice } from "../measure/device/checked_device.ts";
import { findVariant } from "../../kernels/core/registry.ts";

/** `deno task bench`. */
export const BENCH_COMMAND = {
  purpose: "Times every stage of HashAttention, and the whole sparse decode step, against dense " +
    "attention.",
  usage: "deno task bench [flags]",
  sections: {
    "What to time": {
      quick: {
        help: `llama-3.1-8b at ${QUICK_KV_LENS.join(", ")} tokens (on a software adapter at ` +
          `${SOFTWARE_KV_LEN}) with --map random, and the trace and the map that ship with the suite`,
        contradicts: ["set"],
      },
      ...WORKLOAD_FLAGS,
      lengths: {
        value: "N,N,..",
        read: sequenceOf(kvLength),
        help: "one batch of sequences of so many tokens each, instead of --kv and --batch",
        contradicts: ["quick", "set"],
      },
      trace: {
        value: "FILE",
        read: asWritten,
        help: "real queries, keys and values of one sequence from a safetensors file",
        contradicts: ["quick", "set"],
      },
      "trace-map": {
        value: "FILE",
        defaultNote: "a random projection",
        read: asWritten,
        help: "the learned map of the trace's heads, in place of --map",
        contradicts: ["quick", "set"],
        needs: { trace: "the --trace that the map is for" },
      },
    },
    "How HashAttention selects": SELECTION_FLAGS,
    "How to measure": {
      hot: { help: "leave the inputs in the caches between steps, where they are cold otherwise" },
      "max-time": {
        value: "SEC",
        default: "10",
        read: seconds,
        help: `time limit of a case's sampling, but for ${FEWEST_SAMPLES} samples of each kernel`,
        more: "kernels whose steps are too long for it are left out",
      },
      ...MEASURE_FLAGS,
      "hand-over": {
        value: "HOW",
        default: "auto",
        read: oneOf<HandOverChoice>(...HAND_OVER_CHOICES),
        help:
          "how partials reach the workgroup that merges them: dispatch (one more), atomics or " +
          "barrier (the last workgroup merges), or auto: barrier where it is known to order memory, " +
          "else dispatch",
      },
      tuned: {
        value: "FILE",
        defaultNote: `${OWN_TUNING} if there`,
        read: asWritten,
        help: "parameters that deno task tune found",
      },
      "no-tuned": {
        help: "the kernels' default parameters, whatever was tuned",
        contradicts: ["tuned"],
      },
    },
    "What to write": {
      out: {
        value: "DIR",
        defaultNote: "results/<UTC-time>",
        read: asWritten,
        help: "folder of results.csv and samples.jsonl",
        more: "verified rows of this commit, device and settings that it has are kept, what is " +
          "missing is measured and appended, and of several rows of one kernel and case the last " +
          "counts; ratios.csv and report.html, with figures, are of the last run",
      },
      json: {
        value: "FILE",
        read: asWritten,
        help: "write the run as one JSON document, too: docs/run-json.md describes it",
      },
      peers: {
        value: "FILE,..",
        read: list,
        help:
          "CSV of other software's times in f16 (bench/findings/peers.ts has the columns), set " +
          "against the fastest dense kernel and sparse step of each case",
      },
    },
    "Instead of timing": {
      list: { help: "list kernels, models and sets of cases", alone: true },
      "list-adapters": {
        help: "list the adapters that can be asked for",
        contradicts: ["list"],
        alone: true,
      },
      "print-wgsl": {
        value: "NAME",
        read: (name, text) => asUsage(() => findVariant(text), `--${name}`),
        help: "print the WGSL of a kernel as it would run for the first case",
        contradicts: ["list", "list-adapters"],
      },
      "dry-run": {
        help: "list the cases with their memory and minutes",
        contradicts: ["list", "list-adapters", "print-wgsl"],
      },
    },
  },
  notes: [
    `${TOKENS_NOTE} Models may be written in upper or lower case.`,
    "A flag without a value may be written --hot=true or --hot=false.",
    "deno task compare A B says what changed between two results.",
    exitTerms("all verified", "a kernel FAILED its check"),
  ],
} as const satisfies Command;
