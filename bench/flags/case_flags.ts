/** The flags that choose the problems and the kernels; `bench` and `tune` share them. */
import { findModel } from "../../fixtures/models.ts";
import { checkShape } from "../../kernels/core/problem/check_problem.ts";
import { type KvDtype, ROTATED_CODE, type Shape } from "../../kernels/core/problem/problem.ts";
import { EVERY_VARIANT, RIVALS, VARIANTS } from "../../kernels/core/registry.ts";
import type { Variant } from "../../kernels/core/variant.ts";
import { asUsage, UsageError } from "../base/usage_error.ts";
import { type CaseOptions, SHAPE_WORDS } from "../cases/case_options.ts";
import { type CaseSet, findCaseSet } from "../cases/case_sets.ts";
import { named } from "../cases/kernel_globs.ts";
import type { Flags } from "./flag_table.ts";
import { list, listOf, oneOf, tokenCount, wholeNumber } from "./flag_values.ts";
import { type Parsed, parseFlags } from "./parse_flags.ts";
import { codesOf, SELECTION_FLAGS } from "./selection_flags.ts";

/** The longest sequence that a case may have. */
export const MAX_KV_LEN = 2 ** 21;

/** A reader of one KV length. */
export const kvLength = tokenCount(1, MAX_KV_LEN);

/**
 * The flags that choose what is decoded, and by which kernels. Some contradict `quick` and
 * `lengths`, which only `bench` has: a flag that a table lacks is never given.
 */
export const WORKLOAD_FLAGS = {
  models: {
    value: "NAME,..",
    default: "llama-3.1-8b",
    read: listOf((name, entry) => asUsage(() => findModel(entry), `--${name}`).name),
    help: "shapes of these models",
    more: "bench --list names them",
    contradicts: ["quick", "set"],
  },
  shape: {
    value: "QxKxD",
    read: readShape,
    help: "query heads x KV heads x head dim, such as 32x8x128",
    contradicts: ["models", "quick", "set"],
  },
  kv: {
    value: "N,..",
    defaultNote: "8K, 32K and 128K, up to the model's context",
    read: listOf(kvLength),
    help: "KV lengths in tokens",
    contradicts: ["quick", "lengths", "set"],
  },
  batch: {
    value: "N,..",
    default: "1",
    read: listOf(wholeNumber(1, 65535)),
    help: "sequences per batch; each number makes cases of its own",
    contradicts: ["lengths", "set"],
  },
  dtype: {
    value: "TYPE",
    default: "f16",
    read: oneOf<KvDtype>("f16", "bf16", "f32"),
    help: "K and V: f16, bf16 or f32",
    contradicts: ["set"],
  },
  set: {
    value: "NAME",
    read: (name, text) => asUsage(() => findCaseSet(text), `--${name}`),
    help:
      "a set of cases with its own shapes, lengths and settings (bench --list shows them); decode " +
      "is the set of the published claim against dense attention",
  },
  kernels: {
    value: "GLOB,..",
    defaultNote: "all but rivals, or those of --set",
    read: readVariants,
    help: "only kernels whose names match, such as 'dense/*', or a folder of them, such as dense",
    more: "bench --list names them; rivals stands for all other systems, which are timed only if " +
      "they are named",
  },
  force: { help: "also take lengths beyond a model's context, and budgets that select no token" },
} as const satisfies Flags;

/** The shared flags as sections of a table. */
const CASE_SECTIONS = { workload: WORKLOAD_FLAGS, selection: SELECTION_FLAGS };

/** A command line with at least the shared flags. */
type ParsedCases = Pick<Parsed<typeof CASE_SECTIONS>, "values" | "given">;

/** The cases and kernels that the shared flags ask for. */
export function caseOptionsOf(parsed: ParsedCases): CaseOptions {
  const { values, given } = parsed;
  const named = given.has("models") || !(given.has("shape") || given.has("set"));
  return {
    set: values.set,
    models: named ? values.models : [],
    shape: values.shape,
    kvLens: values.kv,
    batches: values.batch,
    lengths: null,
    shared: null,
    force: values.force,
    dtype: values.dtype,
    layout: "bhnd",
    pageTokens: null,
    ...codesOf(parsed),
    topK: values.k === null ? { sparsity: values.sparsity } : { count: values.k },
    ties: values.ties ?? (values.score === "rotated" ? ROTATED_CODE.ties : "lower"),
    sink: values.sink,
    recent: values.recent,
    variants: values.kernels ?? usualVariants(values.set),
    trace: null,
    traceMap: null,
  };
}

/**
 * Parses a command line of the shared flags alone.
 *
 * @throws {UsageError} in one sentence, for the first mistake.
 */
export function parseCaseOptions(args: readonly string[]): CaseOptions {
  return caseOptionsOf(parseFlags({ sections: CASE_SECTIONS }, args));
}

/** Reads the shape of an attention layer. */
export function readShape(_name: string, text: string): Shape {
  const match = /^(\d{1,9})x(\d{1,9})x(\d{1,9})$/i.exec(text);
  if (!match) {
    throw new UsageError(
      `--shape takes query heads x KV heads x head dim, such as 32x8x128, not "${text}".`,
    );
  }
  const [qHeads, kvHeads, headDim] = match.slice(1).map(Number);
  const shape = { qHeads, kvHeads, headDim };
  asUsage(() => checkShape(shape, SHAPE_WORDS), `--shape ${text}`);
  return shape;
}

/** All but the rivals; of a set those that its cases name, which may be rivals. */
function usualVariants(set: CaseSet | null): readonly Variant[] {
  if (set === null) return VARIANTS;
  return variantsNamed(`the set ${set.name}`, set.cases.flatMap(({ kernels }) => kernels));
}

/** The variants and rivals that globs name; every glob must name some. */
function readVariants(name: string, text: string): readonly Variant[] {
  return variantsNamed(`--${name}`, list(name, text));
}

function variantsNamed(owner: string, globs: readonly string[]): readonly Variant[] {
  return named({ variants: VARIANTS, rivals: RIVALS }, globs, (glob) => {
    const known = EVERY_VARIANT.map((variant) => variant.name).join(", ");
    throw new UsageError(`${owner}: no kernel matches ${glob}; the kernels are ${known}.`);
  });
}
