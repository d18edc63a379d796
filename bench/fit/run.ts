/** Prepares a training run from options and traces. */
import type { LearnedMapShape } from "../../kernels/maps/learned_map.ts";
import type { RunIdentity } from "./training/checkpoint.ts";
import {
  type FitContext,
  prepareContexts,
  type Split,
  splitContexts,
  type TraceFile,
} from "./training/data/contexts.ts";
import { initialParams } from "./training/model/model.ts";
import { initialState } from "./training/model/optimiser.ts";
import type { FitOptions } from "./options.ts";
import type { Recipe } from "./training/recipe.ts";
import { rotatedParams } from "./training/model/rotated_params.ts";
import { createSampler, type Sampler } from "./training/data/sample.ts";
import type { Snapshot } from "./training/train.ts";
import { createValidate, type Validate } from "./training/validate.ts";

/** Width of a map's hidden layers, as in the paper. */
const HIDDEN = 128;

/** Everything that a training run needs. */
export interface FitRun {
  readonly recipe: Recipe;
  readonly shape: LearnedMapShape;
  readonly split: Split;
  readonly sample: Sampler;
  /** The state before the first step. */
  readonly start: Snapshot;
  /** Properties that a checkpoint must share to be resumed. */
  readonly identity: RunIdentity;
  /** Metadata of the map's file about its origin. */
  readonly about: Readonly<Record<string, string>>;
  /** Prepares validation, which takes a while; null if nothing is held out. */
  createValidate(): Validate | null;
}

/**
 * Prepares a run.
 *
 * @throws {UsageError} in one sentence, if the traces cannot be fitted with these options.
 */
export async function prepareRun(
  options: FitOptions,
  files: readonly TraceFile[],
): Promise<FitRun> {
  const { recipe, bits, layers, sharing, init, windows, ropeBase, seed } = options;
  const contexts = prepareContexts(files, windows, recipe);
  const split = splitContexts(contexts, options.validation);
  const { headDim, queryHeads } = contexts[0];
  const map = { layers, hidden: HIDDEN, dtype: "f16" } as const;
  const heads = sharing === "head" ? queryHeads : 1;
  const shape: LearnedMapShape = { headDim, bits, sharing, map, heads };
  const { training, validation } = split;
  const random = initialParams(shape, seed);
  const state = initialState(
    init === "rotation" ? rotatedParams(shape, random, training) : random,
  );
  const { loss } = recipe;
  return {
    recipe,
    shape,
    split,
    sample: createSampler({ contexts: training, windows, recipe, seed, ropeBase }),
    start: { step: 0, state, best: null, waited: 0, loss: 0 },
    identity: {
      recipe: recipe.name,
      steps: String(recipe.steps),
      lr: String(recipe.learningRate),
      ...(loss.learns === "positives" && { top: String(loss.top), alpha: String(loss.alpha) }),
      seed: String(seed),
      bits: String(bits),
      layers: String(layers),
      sharing,
      init,
      planes: String(recipe.planes),
      "key-signs": recipe.keySigns,
      "rope-base": String(ropeBase ?? "none"),
      sink: String(windows.sink),
      recent: String(windows.recent),
      val: validation.map(({ label }) => label).join(",") || "none",
      traces: await digestOf(contexts),
      settings: await digest(new TextEncoder().encode(JSON.stringify(recipe))),
    },
    about: {
      trained_on: files.map(({ name }) => name).join(", "),
      command: options.command,
      recipe: recipe.name,
      seed: String(seed),
      planes: String(recipe.planes),
    },
    createValidate: () =>
      validation.length === 0
        ? null
        : createValidate(validation, { windows, recipe, ropeBase, bits }),
  };
}

async function digestOf(contexts: readonly FitContext[]): Promise<string> {
  const digests = [];
  for (const { label, q, k, positions } of contexts) {
    digests.push(label);
    for (const numbers of [q, k, positions]) digests.push(await digest(numbers));
  }
  return await digest(new TextEncoder().encode(digests.join(" ")));
}

/** The first 64 bits of SHA-256, in hexadecimal. */
async function digest(bytes: BufferSource): Promise<string> {
  const hash = await crypto.subtle.digest("SHA-256", bytes);
  return [...new Uint8Array(hash, 0, 8)].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}
