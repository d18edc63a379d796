/** The flags of `deno task quality` and the text of its `--help`. */
import { UsageError } from "../base/usage_error.ts";
import { exitTerms } from "../edge/exit_codes.ts";
import type { Command } from "../flags/flag_table.ts";
import {
  asWritten,
  listOf,
  MAX_U32,
  oneOf,
  tokenCount,
  TOKENS_NOTE,
  wholeNumber,
} from "../flags/flag_values.ts";
import { ADAPTER_FLAG } from "../flags/measure_flags.ts";
import { BUDGETS, QUERY_SETS } from "../results/quality_rows.ts";
import { METHODS } from "../selection/methods/methods.ts";

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
      map: {
        value: "FILE",
        read: asWritten,
        help: "learned map, for the methods learned and learned-w1 to -w3",
      },
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
        help: "budgets: k = floor(N/S) tokens per query, where --budget says what N is",
      },
      budget: {
        value: "WHICH",
        default: "trace",
        read: oneOf(...BUDGETS),
        help:
          "trace: N is the tokens of the trace, the same for every query; context: the tokens " +
          "up to the query's own, as in a decode step",
      },
      queries: {
        value: "WHICH",
        default: "all",
        read: oneOf(...QUERY_SETS),
        help: "all, or last-quarter: those at positions from 3/4 of the trace's tokens on",
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
        help: "seed of the random projections and of the rotations",
      },
      compute: {
        value: "WHERE",
        default: "device",
        read: oneOf("device", "f64"),
        help:
          "device: learned and rotated codes run through the WGSL pipeline, as in a decode step; " +
          "f64: on the CPU, by the definitions",
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
    "selected, and the higher one by rotated codes. quest selects only the first tokens of its " +
    "last page, so that it selects as many as the other methods. The device that --adapter " +
    "chooses computes codes, scores and outputs of learned and rotated codes, unless --compute " +
    "is f64; everything else is computed in f64.",
    "Rotated codes need no map, since nothing is trained. Their scores are the whole numbers of " +
    "the kernels. rotated-128 and rotated-64 stand for rotated-128-w2 and rotated-64-w2.",
    {
      heading: "Columns of --csv",
      terms: [
        ["bits_per_token_per_kv_head", "bits that the method reads to select"],
        ["k", "tokens to select, by --budget context the mean over queries, rounded"],
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
        ["code_bytes", "the bits in bytes"],
        ["budget, query_set", "values of --budget and --queries"],
      ],
    },
    TOKENS_NOTE,
    exitTerms("done", "the device's output differs from that of its own selection in f64"),
  ],
} as const satisfies Command;

/** Reads the name of a method, or its alias. */
function readMethod(_name: string, entry: string): string {
  const method = METHODS.find(({ name, alias }) => entry === name || entry === alias);
  if (method !== undefined) return method.name;
  const known = METHODS.map(({ name }) => name).join(", ");
  throw new UsageError(`--methods names no method "${entry}"; the methods are ${known}.`);
}
