/** Flags of the main job, read and checked. Nothing here touches a file or a GPU. */
import { findModel } from "../fixtures/models.ts";
import type { Contender } from "../kernels/contender.ts";
import type { CodeSharing, KvDtype, MapShape, TopK } from "../kernels/problem.ts";
import { CONTENDERS, findContender } from "../kernels/registry.ts";
import { type CaseSet, findCaseSet } from "./case_sets.ts";
import { entriesOf, list, oneOf, positiveNumber, wholeNumber } from "./flag_values.ts";
import { matching } from "./kernel_globs.ts";
import { readFlags } from "./read_flags.ts";
import { asUsage, UsageError } from "./usage_error.ts";

/** What one call of the main job is to do. */
export interface BenchOptions {
  readonly help: boolean;
  readonly list: boolean;
  /** The contender whose WGSL to print instead of timing anything. */
  readonly printWgsl: Contender | null;
  readonly quick: boolean;
  /** A named set of cases, which brings shapes and settings of its own. */
  readonly set: CaseSet | null;
  /** Model names; empty where a shape or a trace alone is timed. */
  readonly models: readonly string[];
  readonly shape: Shape | null;
  /** KV lengths in tokens; null for those that suit each shape. */
  readonly kvLens: readonly number[] | null;
  readonly batch: number;
  /** Tokens of each sequence of one batch, in place of `kvLens` and `batch`. */
  readonly lengths: readonly number[] | null;
  readonly dtype: KvDtype;
  readonly bits: number;
  readonly sharing: CodeSharing;
  readonly map: MapShape;
  readonly topK: TopK;
  readonly sink: number;
  readonly recent: number;
  readonly contenders: readonly Contender[];
  /** Paths of other software's times to compare with. */
  readonly peers: readonly string[];
  /** Path of a trace to time. */
  readonly trace: string | null;
  /** Path of the trace's learned map; null for a random projection. */
  readonly traceMap: string | null;
  readonly hot: boolean;
  /** Half the 95% interval of a median, in percent of it, at which it has samples enough. */
  readonly noisePct: number;
  /** Time limit of a case's sampling. */
  readonly maxTimeMs: number;
  /** Bytes of a GPU set aside for inputs. */
  readonly memoryBytes: number;
  readonly seed: number;
  /** Driver name for systems that do not tell it. */
  readonly driver: string | undefined;
  readonly outDir: string;
  /** Whether the caller named `outDir`: another run may have written there. */
  readonly outGiven: boolean;
  /** Path of the run as one JSON document; null for none. */
  readonly json: string | null;
  /** Path of the tuning file; null for the usual one, if it is there. */
  readonly tuned: string | null;
  /** Defaults are timed, whatever was tuned. */
  readonly noTuned: boolean;
}

/** Heads and head dim of `--shape`. */
export interface Shape {
  readonly qHeads: number;
  readonly kvHeads: number;
  readonly headDim: number;
}

const SWITCHES = ["quick", "hot", "no-tuned", "list", "help"] as const;

// deno-fmt-ignore
const VALUES = [
  "models", "shape", "kv", "batch", "lengths", "dtype", "bits", "sharing", "map", "k", "sparsity", "sink",
  "recent", "kernels", "trace", "trace-map", "set", "peers", "noise", "max-time", "memory", "seed", "driver",
  "out", "json", "tuned", "print-wgsl",
] as const;

type Value = (typeof VALUES)[number];

/** Flags that describe cases, which a set brings itself. */
// deno-fmt-ignore
const OF_CASES = [
  "models", "shape", "kv", "batch", "lengths", "quick", "trace", "trace-map", "dtype", "bits", "sharing",
  "map", "k", "sparsity", "sink", "recent",
] as const;

/** Flags that say the same thing in different ways. */
const CONTRADICTIONS: readonly (readonly [string, string])[] = [
  ["models", "shape"],
  ["k", "sparsity"],
  ["quick", "models"],
  ["quick", "shape"],
  ["quick", "kv"],
  ["quick", "lengths"],
  ["lengths", "kv"],
  ["lengths", "batch"],
  ["quick", "trace"],
  ["quick", "trace-map"],
  ["tuned", "no-tuned"],
  ...OF_CASES.map((name) => ["set", name] as const),
];

const MAX_KV_LEN = 2 ** 21;
const MAX_U32 = 0xffffffff;

/**
 * Reads the command line.
 *
 * @param now Names the results folder where `--out` does not.
 * @throws {UsageError} one sentence on the first thing that is wrong.
 */
export function parseOptions(args: readonly string[], now: Date = new Date()): BenchOptions {
  const { switches, texts } = readFlags(args, SWITCHES, VALUES);
  const given = (name: string) => switches[name as keyof typeof switches] || texts.has(name);
  for (const [one, other] of CONTRADICTIONS) {
    if (given(one) && given(other)) {
      throw new UsageError(`--${one} and --${other} contradict each other.`);
    }
  }
  const onlyTrace = given("trace") && !given("models") && !given("shape");
  for (const name of ["kv", "batch", "lengths", "map"]) {
    if (onlyTrace && given(name)) {
      throw new UsageError(`--${name} needs --models or --shape, since a trace brings its own.`);
    }
  }
  if (given("trace-map") && !given("trace")) {
    throw new UsageError("--trace-map needs the --trace that the map is for.");
  }
  for (const name of ["bits", "sharing"]) {
    if (onlyTrace && given("trace-map") && given(name)) {
      throw new UsageError(`--${name} needs --models or --shape, since a map brings its own.`);
    }
  }
  const take = <T>(name: Value, fallback: T, read: (name: string, text: string) => T): T => {
    const text = texts.get(name);
    return text === undefined ? fallback : read(name, text);
  };
  const count = (min: number, max: number) => (name: string, text: string) =>
    wholeNumber(name, text, min, max);
  const sharing = take("sharing", "head", oneOf<CodeSharing>("head", "group"));
  // Encoding a prompt with three layers takes a CPU seconds a step: too long for the quick profile.
  const usualMap = sharing === "head" && !switches.quick ? "mlp" : "random";
  const layers = take("map", usualMap, oneOf("mlp", "random"));
  const { "no-tuned": noTuned, ...others } = switches;
  return {
    ...{ ...others, noTuned, tuned: texts.get("tuned") ?? null },
    printWgsl: take<Contender | null>("print-wgsl", null, (_, name) => contenderOf(name)),
    set: take<CaseSet | null>("set", null, (_, name) => asUsage(() => findCaseSet(name))),
    models: take(
      "models",
      given("shape") || given("set") || onlyTrace ? [] : ["llama-3.1-8b"],
      modelNames,
    ),
    shape: take<Shape | null>("shape", null, shapeOf),
    kvLens: switches.quick ? [8192] : take<number[] | null>("kv", null, tokens(list)),
    batch: take("batch", 1, count(1, 65535)),
    lengths: take<number[] | null>("lengths", null, tokens(entriesOf)),
    dtype: take("dtype", "f16", oneOf<KvDtype>("f16", "bf16", "f32")),
    bits: Number(take("bits", "32", oneOf("32", "64", "128"))),
    sharing,
    map: { layers: layers === "mlp" ? 3 : 1, hidden: 128, dtype: "f16" },
    topK: texts.has("k")
      ? { count: take("k", 0, count(0, MAX_U32)) }
      : { sparsity: take("sparsity", 32, count(1, MAX_U32)) },
    sink: take("sink", 128, count(0, MAX_U32)),
    recent: take("recent", 128, count(0, MAX_U32)),
    contenders: take("kernels", CONTENDERS, contendersOf),
    peers: take<string[]>("peers", [], list),
    trace: texts.get("trace") ?? null,
    traceMap: texts.get("trace-map") ?? null,
    noisePct: take("noise", 0.5, positiveNumber),
    maxTimeMs: 1000 * take("max-time", 10, positiveNumber),
    memoryBytes: 1e9 * take("memory", 6, positiveNumber),
    seed: take("seed", 1, count(0, MAX_U32)),
    driver: texts.get("driver"),
    json: texts.get("json") ?? null,
    outGiven: texts.has("out"),
    outDir: texts.get("out") ?? `results/${now.toISOString().slice(0, 19).replaceAll(":", "-")}Z`,
  };
}

function shapeOf(_name: string, text: string): Shape {
  const match = /^(\d+)x(\d+)x(\d+)$/.exec(text);
  if (!match) {
    throw new UsageError(
      `--shape takes query heads x KV heads x head dim, such as 32x8x128, not "${text}".`,
    );
  }
  const [qHeads, kvHeads, headDim] = match.slice(1).map(Number);
  return { qHeads, kvHeads, headDim };
}

/** A reader of numbers of tokens out of what `split` makes of a comma list. */
function tokens(split: typeof list): (name: string, text: string) => number[] {
  return (name, text) => split(name, text).map((entry) => wholeNumber(name, entry, 1, MAX_KV_LEN));
}

function modelNames(name: string, text: string): string[] {
  return list(name, text).map((entry) => asUsage(() => findModel(entry)).name);
}

function contenderOf(name: string): Contender {
  return asUsage(() => findContender(name));
}

/** The contenders that match one glob or more; each glob must match some. */
function contendersOf(name: string, text: string): readonly Contender[] {
  const globs = list(name, text);
  for (const glob of globs) {
    if (matching(CONTENDERS, [glob]).length > 0) continue;
    const known = CONTENDERS.map((contender) => contender.name).join(", ");
    throw new UsageError(`--${name}: no kernel matches ${glob}; the kernels are ${known}.`);
  }
  return matching(CONTENDERS, globs);
}
