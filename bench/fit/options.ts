/** Reads and checks the flags of `deno task fit`, without touching a file or a device. */
import type { EdgeWindows } from "../selection/selector.ts";
import { type Parsed, parseFlags } from "../flags/parse_flags.ts";
import { UsageError } from "../base/usage_error.ts";
import { FIT_COMMAND } from "./flags.ts";
import type { WantedBackend } from "./training/backend.ts";
import type { FitSharing, InitialMap } from "./training/model/model.ts";
import { type Recipe, RECIPES } from "./training/recipe.ts";

/** The options of one call. */
export interface FitOptions {
  /** Paths of the traces. */
  readonly traces: readonly string[];
  readonly out: string;
  readonly recipe: Recipe;
  readonly bits: number;
  readonly layers: number;
  readonly sharing: FitSharing;
  readonly init: InitialMap;
  readonly windows: EdgeWindows;
  /** Base of the model's RoPE; null for a model without. */
  readonly ropeBase: number | null;
  readonly seed: number;
  /** Contexts to hold out: [] for none, null for the last of three or more. */
  readonly validation: readonly string[] | null;
  readonly minutes: number;
  readonly backend: WantedBackend;
  readonly checkpoint: string | null;
  readonly resume: boolean;
  /** The flags that decide the map, as given. */
  readonly command: string;
}

type ParsedFit = Parsed<typeof FIT_COMMAND.sections>;

/** Flags that decide where files are written, but not the map. */
const NOT_IN_COMMAND: readonly string[] = ["out", "checkpoint"];

/**
 * Reads the command line.
 *
 * @throws {UsageError} in one sentence, for the first wrong flag.
 */
export function parseFitOptions(args: readonly string[]): FitOptions {
  const parsed = parseFlags(FIT_COMMAND, args);
  const { values } = parsed;
  checkFiles(parsed);
  checkInit(parsed);
  checkKeySigns(parsed);
  return {
    resume: values.resume,
    traces: values.trace,
    out: values.out,
    recipe: recipeOf(parsed),
    bits: Number(values.bits),
    layers: values.layers,
    sharing: values.sharing,
    init: values.init,
    windows: { sink: values.sink, recent: values.recent },
    ropeBase: values["rope-base"],
    seed: values.seed,
    validation: values.val,
    minutes: values.minutes ?? Infinity,
    backend: values.backend,
    checkpoint: values.checkpoint,
    command: commandOf(parsed),
  };
}

function checkFiles({ values: { trace, out, checkpoint } }: ParsedFit): void {
  if (out === checkpoint) {
    throw new UsageError(`--out and --checkpoint name the same file ${out}.`);
  }
  const overwritten = [out, checkpoint].find((path) => path !== null && trace.includes(path));
  if (overwritten) throw new UsageError(`${overwritten} is a trace and would be overwritten.`);
}

function checkInit({ values: { init, layers } }: ParsedFit): void {
  if (init === "rotation" && layers !== 1) {
    throw new UsageError(
      `--init rotation needs --layers 1, not ${layers}: the rotation is one linear layer.`,
    );
  }
}

function checkKeySigns({ values: { planes }, given }: ParsedFit): void {
  if (given.has("key-signs") && planes === 0) {
    throw new UsageError("--key-signs is for --planes 1 to 3: without planes, all signs are soft.");
  }
}

/** The named recipe with the changes of other flags. */
function recipeOf({ values, given }: ParsedFit): Recipe {
  const recipe: Recipe = RECIPES[values.recipe];
  const { loss } = recipe;
  const positives = loss.learns === "positives" ? loss : null;
  for (const name of ["top", "alpha"]) {
    if (given.has(name) && positives === null) {
      throw new UsageError(`--${name} is for --recipe paper: ${recipe.name} has no positives.`);
    }
  }
  return {
    ...recipe,
    planes: values.planes,
    keySigns: values["key-signs"] ?? recipe.keySigns,
    loss: positives === null ? loss : {
      ...positives,
      top: values.top ?? positives.top,
      alpha: values.alpha ?? positives.alpha,
    },
    steps: values.steps ?? recipe.steps,
    learningRate: values.lr ?? recipe.learningRate,
  };
}

function commandOf({ texts }: ParsedFit): string {
  const flags = [...texts].filter(([name]) => !NOT_IN_COMMAND.includes(name));
  const quoted = (text: string) => /\s/.test(text) ? JSON.stringify(text) : text;
  return ["deno task fit", ...flags.map(([name, text]) => `--${name} ${quoted(text)}`)].join(" ");
}
