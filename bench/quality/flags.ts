/** What `deno task quality` takes, and what its `--help` says. */
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
    "Says at which budget the output of sparse attention stays right, on real queries, keys " +
    "and values.",
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
        help: "trace whose first context double-sparsity-16 is calibrated on",
      },
      methods: {
        value: "NAME,..",
        defaultNote: "all that the flags above allow",
        read: listOf(readMethod),
        help: "methods to compare",
      },
      sparsity: {
        value: "S,..",
        default: "8,16,32,64",
        read: listOf(wholeNumber(1, MAX_U32)),
        help: "budgets: k = floor(N/S) of the whole trace for every query",
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
    "A query at position p attends keys 0 to p: sink, recent window and k of the middle between " +
    "them, fewer if the middle is smaller; at equal scores the lower token. Of quest's last page the " +
    "first tokens are taken, so that it takes as many as the others. All is computed in f64, but for " +
    "learned, whose codes, scores and outputs are those of the device that --adapter chooses.",
    {
      heading: "Columns of --csv",
      terms: [
        ["bits_per_token_per_kv_head", "what the method reads to decide"],
        ["head", "query head from 0, or all"],
        ["recall", "share of the exact top-k taken, mean over queries"],
        [
          "mass_middle, mass_total",
          "attention mass caught: of the middle, and of everything (sum / sum)",
        ],
        [
          "output_rel_err",
          "L2 distance from dense attention over its norm, mean over queries",
        ],
      ],
    },
    TOKENS_NOTE,
    exitTerms("done", "the device's output is not what its own selection gives"),
  ],
} as const satisfies Command;

/** The name of a method, which must be known. */
function readMethod(_name: string, entry: string): string {
  if (METHODS.some(({ name }) => name === entry)) return entry;
  const known = METHODS.map(({ name }) => name).join(", ");
  throw new UsageError(`--methods knows no "${entry}"; the methods are ${known}.`);
}
