/** Flags of `deno task fit`, read and checked. Nothing here touches a file or a device. */
import { DEFAULT_ROPE_BASE } from "../../fixtures/rope.ts";
import { decimal, list, oneOf, tokenCount, wholeNumber } from "../flags/flag_values.ts";
import type { EdgeWindows } from "../selection/selector.ts";
import { readFlags } from "../flags/read_flags.ts";
import { UsageError } from "../base/usage_error.ts";
import type { WantedBackend } from "./training/backend.ts";
import { type Recipe, RECIPES } from "./training/recipe.ts";

/** What one call is to do. */
export interface FitOptions {
  /** Paths of the traces. */
  readonly traces: readonly string[];
  readonly out: string;
  readonly recipe: Recipe;
  readonly bits: number;
  readonly layers: number;
  readonly windows: EdgeWindows;
  /** Base of the model's RoPE; null for a model without. */
  readonly ropeBase: number | null;
  readonly seed: number;
  /** Contexts to hold out; [] for none, null for the last of three or more. */
  readonly validation: readonly string[] | null;
  readonly minutes: number;
  readonly backend: WantedBackend;
  readonly checkpoint: string | null;
  readonly resume: boolean;
  /** The flags that decide the map, as given. */
  readonly command: string;
}

const SWITCHES = ["resume"] as const;

// deno-fmt-ignore
const VALUES = [
  "trace", "out", "recipe", "bits", "layers", "steps", "minutes", "lr", "top", "alpha", "seed",
  "val", "sink", "recent", "rope-base", "backend", "checkpoint",
] as const;

/** A reader of `--minutes`: up to a week. */
const minutesOf = decimal(0.001, 10_080, "minutes");

/** Where things are written does not decide what is. */
const NOT_IN_COMMAND: readonly string[] = ["out", "checkpoint"];

const MAX_U32 = 0xffffffff;

/** Far below the random streams of the initial weights. */
const MAX_STEPS = 10_000_000;

/**
 * Reads the command line.
 *
 * @throws {UsageError} one sentence on the first thing that is wrong.
 */
export function parseFitOptions(args: readonly string[]): FitOptions {
  const { switches, texts } = readFlags(args, SWITCHES, VALUES);
  const { resume } = switches;
  for (const name of ["trace", "out"]) {
    if (!texts.has(name)) throw new UsageError(`--${name} FILE is needed; --help lists the flags.`);
  }
  if (resume && !texts.has("checkpoint")) throw new UsageError("--resume needs --checkpoint FILE.");
  const traces = list("trace", texts.get("trace")!);
  checkFiles(traces, texts);
  const tokens = (name: string, fallback: number) =>
    tokenCount(name, texts.get(name) ?? String(fallback), 0, MAX_U32);
  const val = texts.get("val");
  const minutes = texts.get("minutes");
  return {
    resume,
    traces,
    out: texts.get("out")!,
    recipe: recipeOf(texts),
    bits: Number(oneOf("32", "64", "128")("bits", texts.get("bits") ?? "32")),
    layers: wholeNumber("layers", texts.get("layers") ?? "3", 1, 3),
    windows: { sink: tokens("sink", 128), recent: tokens("recent", 128) },
    ropeBase: ropeBaseOf(texts.get("rope-base")),
    seed: wholeNumber("seed", texts.get("seed") ?? "1", 0, MAX_U32),
    validation: val === undefined ? null : val === "none" ? [] : list("val", val),
    minutes: minutes === undefined ? Infinity : minutesOf("minutes", minutes),
    backend: oneOf("auto", "wasm", "webgpu")("backend", texts.get("backend") ?? "auto"),
    checkpoint: texts.get("checkpoint") ?? null,
    command: commandOf(texts),
  };
}

function checkFiles(traces: readonly string[], texts: ReadonlyMap<string, string>): void {
  const written = ["out", "checkpoint"].flatMap((name) => texts.get(name) ?? []);
  if (written.length === 2 && written[0] === written[1]) {
    throw new UsageError(`--out and --checkpoint name the same file ${written[0]}.`);
  }
  const overwritten = written.find((path) => traces.includes(path));
  if (overwritten) throw new UsageError(`${overwritten} is a trace and would be overwritten.`);
}

/** The named recipe with what other flags change of it. */
function recipeOf(texts: ReadonlyMap<string, string>): Recipe {
  const recipe: Recipe = RECIPES[oneOf("best", "paper")("recipe", texts.get("recipe") ?? "best")];
  const given = <T>(name: string, read: (name: string, text: string) => T, fallback: T): T => {
    const text = texts.get(name);
    return text === undefined ? fallback : read(name, text);
  };
  const { loss } = recipe;
  const positives = loss.learns === "positives" ? loss : null;
  for (const name of ["top", "alpha"]) {
    if (texts.has(name) && positives === null) {
      throw new UsageError(`--${name} is for --recipe paper: ${recipe.name} has no positives.`);
    }
  }
  return {
    ...recipe,
    loss: positives === null ? loss : {
      ...positives,
      top: given("top", (name, text) => wholeNumber(name, text, 1, MAX_U32), positives.top),
      alpha: given("alpha", decimal(1e-6, 1e6), positives.alpha),
    },
    steps: given("steps", (name, text) => wholeNumber(name, text, 1, MAX_STEPS), recipe.steps),
    learningRate: given("lr", decimal(1e-9, 1), recipe.learningRate),
  };
}

function ropeBaseOf(text: string | undefined): number | null {
  if (text === "none") return null;
  return text === undefined ? DEFAULT_ROPE_BASE : decimal(1, 1e12)("rope-base", text);
}

function commandOf(texts: ReadonlyMap<string, string>): string {
  const flags = [...texts].filter(([name]) => !NOT_IN_COMMAND.includes(name));
  const quoted = (text: string) => /\s/.test(text) ? JSON.stringify(text) : text;
  return ["deno task fit", ...flags.map(([name, text]) => `--${name} ${quoted(text)}`)].join(" ");
}
