/** The flags of `deno task frontier` and the text of its `--help`. */
import { UsageError } from "../base/usage_error.ts";
import { exitTerms } from "../edge/exit_codes.ts";
import { DEFAULT_MAX_ERROR } from "../findings/frontier.ts";
import { kvLength, readShape } from "../flags/case_flags.ts";
import type { Command } from "../flags/flag_table.ts";
import {
  asWritten,
  decimal,
  list,
  listOf,
  MAX_U32,
  seconds,
  sequenceOf,
  tokenCount,
  TOKENS_NOTE,
  wholeNumber,
} from "../flags/flag_values.ts";
import { LAYERS_FLAG, MEASURE_FLAGS } from "../flags/measure_flags.ts";
import {
  ALIASES,
  FRONTIER_METHODS,
  QUICK_BUDGETS,
  QUICK_KV_LEN,
  QUICK_METHODS,
} from "../frontier_runner/methods.ts";

/** Stands for a trace without a map. */
export const NO_MAP = "none";

const QUICK = { contradicts: ["quick"] } as const;

const MAPS_NOTE = `one for each of --traces in their order, ${NO_MAP} for a trace without one`;

/** `deno task frontier`. */
export const FRONTIER_COMMAND = {
  purpose:
    "Measures error against time: of each method and budget the error on real traces, through the " +
    "device's own pipeline, and the time of the step.",
  usage: "deno task frontier [flags]",
  sections: {
    "What to measure": {
      quick: {
        help: `${QUICK_METHODS.length} methods (${QUICK_METHODS.join(", ")}) at ${
          QUICK_BUDGETS.map((budget) => `N/${budget}`).join(", ")
        } and ${QUICK_KV_LEN} tokens`,
      },
      methods: {
        value: "NAME,..",
        defaultNote: "all",
        read: listOf(readMethod),
        help: "methods to compare, see below",
        ...QUICK,
      },
      budgets: {
        value: "S,..",
        default: "8,16,32,64,128,256",
        read: listOf(wholeNumber(1, MAX_U32)),
        help: "budgets: a step takes k = floor(N/S) tokens of the N of its context",
        ...QUICK,
      },
      kv: {
        value: "N,..",
        default: "8K,32K,128K",
        read: listOf(kvLength),
        help: "KV lengths in tokens of the timed steps",
        ...QUICK,
      },
      shape: {
        value: "QxKxD",
        default: "32x8x128",
        read: readShape,
        help: "query heads x KV heads x head dim of the timed steps",
      },
      traces: {
        value: "FILE,..",
        defaultNote: "the two that ship with the suite",
        read: list,
        help: "real queries, keys and values of one sequence and KV head each (safetensors)",
        ...QUICK,
      },
      maps: {
        value: "FILE,..",
        defaultNote: "those of the traces that ship",
        read: sequenceOf(asWritten),
        help: `learned maps of the traces' heads, for learned: ${MAPS_NOTE}`,
        needs: { traces: "the --traces that the maps are for" },
      },
      "hata-maps": {
        value: "FILE,..",
        defaultNote: "those of the traces that ship",
        read: sequenceOf(asWritten),
        help: `linear maps that a KV head shares, for hata: ${MAPS_NOTE}`,
        needs: { traces: "the --traces that the maps are for" },
      },
      sink: {
        value: "N",
        default: "128",
        read: tokenCount(0, MAX_U32),
        help: "first tokens that are always attended, on traces and in timed steps",
      },
      recent: {
        value: "N",
        default: "128",
        read: tokenCount(0, MAX_U32),
        help: "last tokens that are always attended, on traces and in timed steps",
      },
    },
    "How to measure": {
      layers: LAYERS_FLAG,
      "max-time": {
        value: "SEC",
        default: "1.5",
        read: seconds,
        help: "time limit for the samples of one method at one length, all budgets together",
      },
      ...MEASURE_FLAGS,
    },
    "What to show and write": {
      "max-error": {
        value: "E",
        default: String(DEFAULT_MAX_ERROR),
        read: decimal(0, 10),
        help: "error for which the fastest step is named: 0.06 is 6% of the output's length",
      },
      out: {
        value: "DIR",
        defaultNote: "results/<UTC-time>",
        read: asWritten,
        help: "folder of frontier.csv, a frontier-N.svg for each length, and frontier.html",
        more: "its rows of this commit, device and settings are kept, and what is missing is " +
          "measured",
      },
    },
  },
  notes: [
    {
      heading: "Methods",
      terms: FRONTIER_METHODS.map(({ name, description }) => [name, description] as const),
    },
    "The error of a method is that of its output on the device against dense attention in f64: the " +
    "mean over the queries in the last quarter of a trace. Each query takes k tokens by the length " +
    "of its own context. A timed step takes as many of its own length. So errors are of the traces' " +
    "lengths, and times of those of --kv, at the same budgets and windows.",
    "Traces have groups of as many query heads as their files. A shape with smaller groups takes " +
    "the heads of a trace apart; one with larger groups is compared only by methods that share " +
    "nothing but the keys across a group. rotated-128 stands for rotated-128-w2.",
    "A software adapter says nothing about time: there the cost of a step is the bytes that it " +
    "moves, and nothing is timed.",
    TOKENS_NOTE,
    exitTerms("done", "a step is wrong on this device; its rows are left out"),
  ],
} as const satisfies Command;

/** Reads the name of a method, or its alias. */
function readMethod(_name: string, entry: string): string {
  const name = ALIASES[entry] ?? entry;
  if (FRONTIER_METHODS.some((method) => method.name === name)) return name;
  const known = FRONTIER_METHODS.map(({ name }) => name).join(", ");
  throw new UsageError(`--methods names no method "${entry}"; the methods are ${known}.`);
}
