/** The flags of `deno task quality` and the text of its `--help`. */
import { UsageError } from "../base/usage_error.ts";
import { exitTerms } from "../edge/exit_codes.ts";
import type { Command } from "../flags/flag_table.ts";
import {
  asWritten,
  listOf,
  MAX_U32,
  tokenCount,
  TOKENS_NOTE,
  wholeNumber,
} from "../flags/flag_values.ts";
import { ADAPTER_FLAG } from "../flags/measure_flags.ts";
import { METHODS } from "./methods.ts";

/** `deno task quality`. */
export const QUALITY_COMMAND = {
  purpose:
    "Measures how well sparse attention approximates dense attention at each budget, on real " +
    "queries, keys and values.",
  usage: "deno task quality --trace FILE [flags]",
  sections: {
    Flags: {
      trace: {
        value: "FILE",
        required: true,
        read: asWritten,
        help:
          "attention trace (safetensors): tensors q, pos, k and v, or NAME.q, NAME.pos, NAME.k " +
          "and NAME.v for each context; without v there is no output error",
      },
      map: { value: "FILE", read: asWritten, help: "learned map, for the method learned" },
      "fit-trace": {
        value: "FILE",
        read: asWritten,
        help: "trace whose first context calibrates double-sparsity-16",
      },
      methods: {
        value: "NAME,..",
        defaultNote: "all whose files are given",
        read: listOf(readMethod),
        help: "methods to compare",
      },
      sparsity: {
        value: "S,..",
        default: "8,16,32,64",
        read: listOf(wholeNumber(1, MAX_U32)),
        help: "budgets: k = floor(N/S) tokens per query, for a trace of N tokens",
      },
      sink: {
        value: "N",
        default: "128",
        read: tokenCount(0, MAX_U32),
        help: "first tokens that are always attended",
      },
      recent: {
        value: "N",
        default: "128",
        read: tokenCount(0, MAX_U32),
        help: "last tokens that are always attended",
      },
      seed: {
        value: "N",
        default: "1",
        read: wholeNumber(0, MAX_U32),
        help: "seed of the random projections",
      },
      ...ADAPTER_FLAG,
      csv: { value: "FILE", read: asWritten, help: "write a row per method, budget and head" },
      svg: { value: "FILE", read: asWritten, help: "plot error and mass against budget" },
    },
  },
  notes: [
    {
      heading: "Methods",
      terms: METHODS.map(({ name, description }) => [name, description] as const),
    },
    "A query at position p attends keys 0 to p: the sink, the recent window and k tokens of the " +
    "middle between them, or all of a smaller middle. At equal scores the lower token is " +
    "selected. quest selects only the first tokens of its last page, so that it selects as many " +
    "as the other methods. Everything is computed in f64, except for learned: the device that " +
    "--adapter chooses computes its codes, scores and outputs.",
    {
      heading: "Columns of --csv",
      terms: [
        ["bits_per_token_per_kv_head", "bits that the method reads to select"],
        ["head", "query head from 0, or all"],
        ["recall", "share of the exact top-k selected, mean over queries"],
        [
          "mass_middle, mass_total",
          "share of the attention mass selected: of the middle, and of all tokens (sum / sum)",
        ],
        [
          "output_rel_err",
          "L2 distance from the output of dense attention over its norm, mean over queries",
        ],
      ],
    },
    TOKENS_NOTE,
    exitTerms("done", "the device's output differs from that of its own selection in f64"),
  ],
} as const satisfies Command;

/** Reads the name of a method. */
function readMethod(_name: string, entry: string): string {
  if (METHODS.some(({ name }) => name === entry)) return entry;
  const known = METHODS.map(({ name }) => name).join(", ");
  throw new UsageError(`--methods names no method "${entry}"; the methods are ${known}.`);
}
