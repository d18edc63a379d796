/** The flags that choose the problems and the kernels; `bench` and `tune` share them. */
import { findModel } from "../../fixtures/models.ts";
import {
  checkShape,
  type CodeSharing,
  DEFAULT_BINS,
  type KvDtype,
  type MapShape,
  ROTATED_CODE,
  type Shape,
  type TieRule,
} from "../../kernels/core/problem.ts";
import { VARIANTS } from "../../kernels/core/registry.ts";
import type { Variant } from "../../kernels/core/variant.ts";
import { asUsage, UsageError } from "../base/usage_error.ts";
import { type CaseOptions, type Score, SCORES, SHAPE_WORDS } from "../cases/case_options.ts";
import { findCaseSet } from "../cases/case_sets.ts";
import { matching } from "../cases/kernel_globs.ts";
import type { Flags } from "./flag_table.ts";
import { list, listOf, MAX_U32, oneOf, tokenCount, wholeNumber } from "./flag_values.ts";
import { type Parsed, parseFlags } from "./parse_flags.ts";

/** The longest sequence that a case may have. */
const MAX_KV_LEN = 2 ** 21;

/** A reader of one KV length. */
export const kvLength = tokenCount(1, MAX_KV_LEN);

/** The maps that `--map` names. */
const MAPS = {
  mlp: { layers: 3, hidden: 128, dtype: "f16" },
  random: { layers: 1, hidden: 128, dtype: "f16" },
} as const satisfies Readonly<Record<string, MapShape>>;

/** The map of a random projection. */
export const RANDOM_MAP: MapShape = MAPS.random;

/** The default map for each way to share codes. */
const DEFAULT_MAPS: Readonly<Record<CodeSharing, keyof typeof MAPS>> = {
  head: "mlp",
  kv: "random",
  group: "random",
};

/** The magnitude planes that each score takes. */
const PLANES: Readonly<Record<Score, { least: number; most: number; default: number }>> = {
  hamming: { least: 0, most: 0, default: 0 },
  weighted: { least: 1, most: 3, default: 2 },
  rotated: { least: 0, most: 3, default: ROTATED_CODE.planes },
};

/** `0` or `1 to 3`: the planes that a score takes. */
function planesText(score: Score): string {
  const { least, most } = PLANES[score];
  return least === most ? String(least) : `${least} to ${most}`;
}

/** Bits of a code by default. */
const DEFAULT_BITS: Readonly<Record<Score, number>> = {
  hamming: 32,
  weighted: 32,
  rotated: ROTATED_CODE.bits,
};

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
    defaultNote: "all",
    read: readVariants,
    help: "only kernels whose names match, such as 'dense/*', or a folder of them, such as dense",
    more: "bench --list names them",
  },
  force: { help: "also take lengths beyond a model's context, and budgets that select no token" },
} as const satisfies Flags;

/** How tokens are selected. */
export const SELECTION_FLAGS = {
  score: {
    value: "KIND",
    default: "hamming",
    read: oneOf<Score>(...SCORES),
    help:
      "hamming: the bits that differ, as in the paper; weighted: each bit weighed by the query's " +
      "magnitude there; rotated: the query times rotated keys of one bit, which need no training",
    contradicts: ["set"],
  },
  planes: {
    value: "N",
    defaultNote: `${PLANES.hamming.default} for --score hamming, else ${PLANES.weighted.default}`,
    read: wholeNumber(0, 3),
    help: "bits of a query's magnitude beside its sign: " +
      SCORES.map((score) => `${planesText(score)} for ${score}`).join(", "),
    contradicts: ["set"],
  },
  bins: {
    value: "N",
    default: String(DEFAULT_BINS.count),
    read: oneOf("16", "32", "64", "128", "256"),
    help: "bins of a score of --score rotated: 16, 32, 64, 128 or 256",
    contradicts: ["set"],
  },
  centre: {
    help:
      "with --score rotated: subtract the prompt's mean key from keys, which takes the encoder " +
      "of the prompt a pass more",
    contradicts: ["set"],
  },
  bits: {
    value: "N",
    defaultNote: `${DEFAULT_BITS.rotated} for --score rotated, else ${DEFAULT_BITS.hamming}`,
    read: oneOf("32", "64", "128"),
    help: "bits of a code: 32, 64 or 128",
    contradicts: ["set"],
  },
  sharing: {
    value: "SCOPE",
    defaultNote: "kv for --score rotated, which takes no other; else head",
    read: oneOf<CodeSharing>("head", "kv", "group"),
    help:
      "head: one code per query head; kv: one code per KV head; group: also one selection per KV " +
      "head",
    contradicts: ["set"],
  },
  map: {
    value: "KIND",
    defaultNote: `${DEFAULT_MAPS.head} for --sharing head, else ${DEFAULT_MAPS.group}`,
    read: oneOf("mlp", "random"),
    help: `mlp: ${MAPS.mlp.layers} layers of width ${MAPS.mlp.hidden}; random: one linear layer; ` +
      "--score rotated has a rotation instead",
    contradicts: ["set"],
  },
  sparsity: {
    value: "S",
    default: "32",
    read: wholeNumber(1, MAX_U32),
    help: "select 1/S of the tokens",
    contradicts: ["k", "set"],
  },
  k: {
    value: "N",
    read: tokenCount(0, MAX_U32),
    help: "select N tokens instead",
    contradicts: ["set"],
  },
  ties: {
    value: "WHICH",
    defaultNote: `${ROTATED_CODE.ties} for --score rotated, else lower`,
    read: oneOf<TieRule>("lower", "higher"),
    help: "tokens to take of those that tie for the last place: those of lower or higher index",
    contradicts: ["set"],
  },
  sink: {
    value: "N",
    default: "128",
    read: tokenCount(0, MAX_U32),
    help: "first tokens that are always attended",
    contradicts: ["set"],
  },
  recent: {
    value: "N",
    default: "128",
    read: tokenCount(0, MAX_U32),
    help: "last tokens that are always attended",
    contradicts: ["set"],
  },
} as const satisfies Flags;

/** The shared flags as sections of a table. */
const CASE_SECTIONS = { workload: WORKLOAD_FLAGS, selection: SELECTION_FLAGS };

/** A command line with at least the shared flags. */
type ParsedCases = Pick<Parsed<typeof CASE_SECTIONS>, "values" | "given">;

/** The way to make codes that the flags ask for, and the score. */
type Codes = Pick<CaseOptions, "bits" | "sharing" | "map" | "planes" | "bins" | "centre">;

function codesOf({ values, given }: ParsedCases): Codes {
  const { score } = values;
  const isRotated = score === "rotated";
  const sharing = values.sharing ?? (isRotated ? ROTATED_CODE.sharing : "head");
  checkPlanes(score, values.planes);
  if (isRotated) checkRotated(sharing, values.map);
  else if (given.has("bins")) {
    throw new UsageError(`--bins ${values.bins} needs --score rotated, not ${score}.`);
  } else if (values.centre) {
    throw new UsageError(`--centre needs --score rotated, not ${score}.`);
  }
  return {
    bits: Number(values.bits ?? DEFAULT_BITS[score]),
    sharing,
    map: isRotated ? ROTATED_CODE.map : MAPS[values.map ?? DEFAULT_MAPS[sharing]],
    planes: values.planes ?? PLANES[score].default,
    bins: { ...DEFAULT_BINS, count: Number(values.bins) },
    centre: values.centre,
  };
}

function checkPlanes(score: Score, planes: number | null): void {
  const { least, most } = PLANES[score];
  if (planes === null || planes >= least && planes <= most) return;
  const others = SCORES.filter((other) => other !== score)
    .map((other) => `${other} takes ${planesText(other)}`).join(" and ");
  throw new UsageError(
    `--planes ${planes} does not fit --score ${score}, which takes ${
      planesText(score)
    }; ${others}.`,
  );
}

/** Refuses what contradicts rotated codes. */
function checkRotated(sharing: CodeSharing, map: string | null): void {
  if (sharing !== ROTATED_CODE.sharing) {
    throw new UsageError(`--sharing ${sharing} does not fit --score rotated, which takes kv.`);
  }
  if (map !== null) {
    throw new UsageError(`--map ${map} does not fit --score rotated, which has a rotation as map.`);
  }
}

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
    force: values.force,
    dtype: values.dtype,
    ...codesOf(parsed),
    topK: values.k === null ? { sparsity: values.sparsity } : { count: values.k },
    ties: values.ties ?? (values.score === "rotated" ? ROTATED_CODE.ties : "lower"),
    sink: values.sink,
    recent: values.recent,
    variants: values.kernels ?? VARIANTS,
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

function readShape(_name: string, text: string): Shape {
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

/** The variants that match at least one glob; every glob must match a variant. */
function readVariants(name: string, text: string): readonly Variant[] {
  const globs = list(name, text);
  for (const glob of globs) {
    if (matching(VARIANTS, [glob]).length > 0) continue;
    const known = VARIANTS.map((variant) => variant.name).join(", ");
    throw new UsageError(`--${name}: no kernel matches ${glob}; the kernels are ${known}.`);
  }
  return matching(VARIANTS, globs);
}
