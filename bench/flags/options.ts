/** Flags of the main job, read and checked. Nothing here touches a file or a GPU. */
import { SHAPE_WORDS } from "../cases/case_options.ts";
import { findModel } from "../../fixtures/models.ts";
import type { Variant } from "../../kernels/core/variant.ts";
import {
  checkShape,
  type CodeSharing,
  type KvDtype,
  type Shape,
} from "../../kernels/core/problem.ts";
import { findVariant, VARIANTS } from "../../kernels/core/registry.ts";
import type { CaseOptions } from "../cases/case_options.ts";
import { type CaseSet, findCaseSet } from "../cases/case_sets.ts";
import { decimal, entriesOf, list, oneOf, tokenCount, wholeNumber } from "./flag_values.ts";
import { HAND_OVER_CHOICES, type HandOverChoice } from "../measure/device/checked_device.ts";
import { matching } from "../cases/kernel_globs.ts";
import { QUICK_KV_LENS } from "../cases/quick.ts";
import { readFlags } from "./read_flags.ts";
import { TIMER_CHOICES, type TimerChoice } from "../measure/clock/timer.ts";
import { asUsage, UsageError } from "../base/usage_error.ts";

/** What one call of the main job is to do. */
export interface BenchOptions extends CaseOptions {
  readonly list: boolean;
  readonly listAdapters: boolean;
  /** Whether to say what would be measured instead of measuring it. */
  readonly dryRun: boolean;
  /** The variant whose WGSL to print instead of timing anything. */
  readonly printWgsl: Variant | null;
  readonly quick: boolean;
  /** Paths of other software's times to compare with. */
  readonly peers: readonly string[];
  readonly hot: boolean;
  /** Half the 95% interval of a median, in percent of it, at which it has samples enough. */
  readonly noisePct: number;
  /** Time limit of a case's sampling. */
  readonly maxTimeMs: number;
  /** Which clock times the kernels. */
  readonly timer: TimerChoice;
  readonly handOver: HandOverChoice;
  /** Bytes of a GPU set aside for inputs. */
  readonly memoryBytes: number;
  readonly seed: number;
  /** Driver name for systems that do not tell it. */
  readonly driver: string | undefined;
  /** Number or part of the name of the adapter to use; null for the fastest. */
  readonly adapter: string | null;
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

const SWITCHES = [
  "quick",
  "hot",
  "no-tuned",
  "force",
  "list",
  "list-adapters",
  "dry-run",
] as const;

// deno-fmt-ignore
const VALUES = [
  "models", "shape", "kv", "batch", "lengths", "dtype", "bits", "sharing", "map", "k", "sparsity", "sink",
  "recent", "kernels", "trace", "trace-map", "set", "peers", "noise", "max-time", "memory", "seed", "driver",
  "adapter", "out", "json", "tuned", "print-wgsl", "timer", "hand-over",
] as const;

/** All flags but those of every command, without their dashes. */
export const BENCH_FLAGS: readonly string[] = [...SWITCHES, ...VALUES];

type Value = (typeof VALUES)[number];

/** Flags that describe cases, which a set brings itself. */
// deno-fmt-ignore
const OF_CASES = [
  "models", "shape", "kv", "batch", "lengths", "quick", "trace", "trace-map", "dtype", "bits", "sharing",
  "map", "k", "sparsity", "sink", "recent",
] as const;

/** What to do instead of timing: one thing at a time. */
const MODES = ["list", "list-adapters", "print-wgsl", "dry-run"] as const;

/** Flags that say the same thing in different ways, or that ask for different things. */
const CONTRADICTIONS: readonly (readonly [string, string])[] = [
  ...MODES.flatMap((one, i) => MODES.slice(i + 1).map((other) => [one, other] as const)),
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

/** Modes that no other flag changes. */
const ALONE: readonly string[] = ["list", "list-adapters"];

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
  const alone = ALONE.find(given);
  const beside = BENCH_FLAGS.find((name) => name !== alone && given(name));
  if (alone !== undefined && beside !== undefined) {
    throw new UsageError(`--${alone} stands alone: --${beside} would change nothing.`);
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
  const tokens = (min: number) => (name: string, text: string) =>
    tokenCount(name, text, min, MAX_U32);
  const sharing = take("sharing", "head", oneOf<CodeSharing>("head", "group"));
  // Encoding a prompt with three layers takes a CPU seconds a step: too long for the quick profile.
  const usualMap = sharing === "head" && !switches.quick ? "mlp" : "random";
  const layers = take("map", usualMap, oneOf("mlp", "random"));
  return {
    quick: switches.quick,
    hot: switches.hot,
    force: switches.force,
    list: switches.list,
    listAdapters: switches["list-adapters"],
    dryRun: switches["dry-run"],
    noTuned: switches["no-tuned"],
    tuned: texts.get("tuned") ?? null,
    printWgsl: take<Variant | null>("print-wgsl", null, variantOf),
    set: take<CaseSet | null>("set", null, caseSetOf),
    models: take(
      "models",
      given("shape") || given("set") || onlyTrace ? [] : ["llama-3.1-8b"],
      modelNames,
    ),
    shape: take<Shape | null>("shape", null, shapeOf),
    kvLens: switches.quick ? QUICK_KV_LENS : take<number[] | null>("kv", null, kvLengths(list)),
    batches: take("batch", [1], batchSizes),
    lengths: take<number[] | null>("lengths", null, kvLengths(entriesOf)),
    dtype: take("dtype", "f16", oneOf<KvDtype>("f16", "bf16", "f32")),
    bits: Number(take("bits", "32", oneOf("32", "64", "128"))),
    sharing,
    map: { layers: layers === "mlp" ? 3 : 1, hidden: 128, dtype: "f16" },
    topK: texts.has("k")
      ? { count: take("k", 0, tokens(0)) }
      : { sparsity: take("sparsity", 32, count(1, MAX_U32)) },
    sink: take("sink", 128, tokens(0)),
    recent: take("recent", 128, tokens(0)),
    variants: take("kernels", VARIANTS, variantsOf),
    peers: take<string[]>("peers", [], list),
    trace: texts.get("trace") ?? null,
    traceMap: texts.get("trace-map") ?? null,
    noisePct: take("noise", 0.5, noisePercent),
    maxTimeMs: 1000 * take("max-time", 10, seconds),
    timer: take("timer", "auto", oneOf<TimerChoice>(...TIMER_CHOICES)),
    memoryBytes: 1e9 * take("memory", 6, decimal(0.001, 100_000, "GB")),
    handOver: take("hand-over", "auto", oneOf<HandOverChoice>(...HAND_OVER_CHOICES)),
    seed: take("seed", 1, count(0, MAX_U32)),
    driver: texts.get("driver"),
    adapter: texts.get("adapter") ?? null,
    json: texts.get("json") ?? null,
    outGiven: texts.has("out"),
    outDir: texts.get("out") ?? `results/${now.toISOString().slice(0, 19).replaceAll(":", "-")}Z`,
  };
}

/** A reader of `--noise`. */
const noisePercent = decimal(0.001, 100, "percent");

/** A reader of seconds: from a millisecond to a day. */
export const seconds = decimal(0.001, 86_400, "seconds");

function shapeOf(_name: string, text: string): Shape {
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

/** A reader of KV lengths out of what `split` makes of a comma list. */
function kvLengths(split: typeof list): (name: string, text: string) => number[] {
  return (name, text) => {
    const lengths = split(name, text).map((entry) => tokenCount(name, entry, 1, MAX_KV_LEN));
    return split === list ? [...new Set(lengths)] : lengths;
  };
}

function batchSizes(name: string, text: string): number[] {
  return list(name, text).map((entry) => wholeNumber(name, entry, 1, 65535));
}

function modelNames(name: string, text: string): string[] {
  const names = list(name, text).map((entry) => asUsage(() => findModel(entry), `--${name}`).name);
  return [...new Set(names)];
}

function variantOf(name: string, text: string): Variant {
  return asUsage(() => findVariant(text), `--${name}`);
}

function caseSetOf(name: string, text: string): CaseSet {
  return asUsage(() => findCaseSet(text), `--${name}`);
}

/** The variants that match one glob or more; each glob must match some. */
function variantsOf(name: string, text: string): readonly Variant[] {
  const globs = list(name, text);
  for (const glob of globs) {
    if (matching(VARIANTS, [glob]).length > 0) continue;
    const known = VARIANTS.map((variant) => variant.name).join(", ");
    throw new UsageError(`--${name}: no kernel matches ${glob}; the kernels are ${known}.`);
  }
  return matching(VARIANTS, globs);
}
