/** The flags and the help text of `deno task bench`. */
import { QUICK_KV_LENS, SOFTWARE_KV_LEN } from "../cases/quick.ts";
import { exitTerms } from "../edge/exit_codes.ts";
import { OWN_TUNING } from "../edge/files/tuning_file.ts";
import { kvLength, MAX_KV_LEN, WORKLOAD_FLAGS } from "../flags/case_flags.ts";
import { SELECTION_FLAGS } from "../flags/selection_flags.ts";
import { sequenceLengths } from "../flags/lengths_value.ts";
import type { Command } from "../flags/flag_table.ts";
import {
  asWritten,
  list,
  listOf,
  oneOf,
  tokenCount,
  TOKENS_NOTE,
  wholeNumber,
} from "../flags/flag_values.ts";
import { LAYERS_FLAG, MAX_TIME_FLAG, MEASURE_FLAGS } from "../flags/measure_flags.ts";
import { asUsage } from "../base/usage_error.ts";
import { HAND_OVER_CHOICES, type HandOverChoice } from "../measure/device/checked_device.ts";
import { findVariant } from "../../kernels/core/registry.ts";
import { KV_PAGE_TOKENS } from "../../kernels/core/problem/constants.ts";
import type { KvLayout } from "../../kernels/core/problem/problem.ts";

/** Reads the tokens of a page. */
function pageTokens(name: string, text: string): number {
  return Number(oneOf(...KV_PAGE_TOKENS.map(String))(name, text));
}

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
        read: sequenceLengths(kvLength),
        help: "one batch of sequences with these lengths in tokens, instead of --kv and --batch; " +
          "loguniform:1K:128K:16 draws 16, and a number after that is the seed (default 1)",
        contradicts: ["quick", "set"],
      },
      layout: {
        value: "ORDER",
        default: "bhnd",
        read: oneOf<KvLayout>("bhnd", "bnhd"),
        help:
          "K and V as [batch, KV heads, tokens, head dim] (bhnd), or with tokens before heads " +
          "(bnhd)",
        contradicts: ["quick", "set", "trace"],
      },
      "page-tokens": {
        value: "N",
        defaultNote: "no pages",
        read: pageTokens,
        help:
          `K and V in pages of ${KV_PAGE_TOKENS.join(", ")} tokens, in random order in a pool; ` +
          "--layout is the order within a page",
        contradicts: ["quick", "set", "trace"],
      },
      prefix: {
        value: "N",
        read: tokenCount(1, MAX_KV_LEN),
        help: "requests that share a prefix of N tokens, a multiple of 16, which the caches hold " +
          "once; instead of --kv, --lengths and --batch, and with --score rotated",
        contradicts: ["quick", "set", "kv", "lengths", "batch", "trace"],
      },
      requests: {
        value: "N,..",
        default: "8",
        read: listOf(wholeNumber(1, 65535)),
        help: "requests over the prefix; each number makes cases of its own",
        needs: { prefix: "the --prefix that they share" },
      },
      tail: {
        value: "N",
        default: "512",
        read: tokenCount(1, MAX_KV_LEN),
        help: "own tokens of each request behind the prefix, the newest included",
        needs: { prefix: "the --prefix that it follows" },
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
      hot: { help: "keep the inputs in the caches between steps; by default every step is cold" },
      layers: {
        ...LAYERS_FLAG,
        contradicts: ["hot"],
      },
      ...MAX_TIME_FLAG,
      ...MEASURE_FLAGS,
      "hand-over": {
        value: "HOW",
        default: "auto",
        read: oneOf<HandOverChoice>(...HAND_OVER_CHOICES),
        help: "how partials reach the workgroup that merges them: dispatch (a second dispatch), " +
          "atomics or barrier (the last workgroup merges), or auto: barrier where it is known to " +
          "order memory, else dispatch",
      },
      tuned: {
        value: "FILE",
        defaultNote: `${OWN_TUNING} if it exists`,
        read: asWritten,
        help: "parameters that deno task tune found",
      },
      "no-tuned": {
        help: "use the kernels' default parameters even if a tuning file exists",
        contradicts: ["tuned"],
      },
    },
    "What to write": {
      out: {
        value: "DIR",
        defaultNote: "results/<UTC-time>",
        read: asWritten,
        help: "folder of results.csv and samples.jsonl",
        more: "its verified rows of this commit, device and settings are kept; missing rows are " +
          "measured and appended; the last row of a kernel and case counts; ratios.csv and " +
          "report.html, with figures, cover the last run",
      },
      json: {
        value: "FILE",
        read: asWritten,
        help: "also write the run as one JSON document, which docs/run-json.md describes",
      },
      peers: {
        value: "FILE,..",
        read: list,
        help:
          "CSV files of other software's times in f16, compared with the fastest dense kernel " +
          "and sparse step of each case",
        more: "bench/findings/peers.ts lists the columns",
      },
    },
    "Instead of timing": {
      list: { help: "list kernels, models and sets of cases", alone: true },
      "list-adapters": {
        help: "list the adapters that --adapter takes",
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
        help: "list the cases with the memory and minutes that they need",
        contradicts: ["list", "list-adapters", "print-wgsl"],
      },
    },
  },
  notes: [
    `${TOKENS_NOTE} Models may be written in upper or lower case.`,
    "A flag without a value may be written --hot=true or --hot=false.",
    "deno task compare A B shows what changed between two results.",
    exitTerms("all verified", "a kernel FAILED its check"),
  ],
} as const satisfies Command;
