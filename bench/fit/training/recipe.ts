/** Recipes of training as data: the loss, the samples and the optimiser. */

/**
 * Minimises the cross-entropy between attention and the softmax of the similarities, plus the
 * attention mass lost below a soft cut, a smooth version of the threshold at the budget.
 */
export interface MassLoss {
  readonly learns: "mass";
  /** Weight of the lost mass; the cross-entropy has weight 1. */
  readonly cutWeight: number;
  /** Width of the soft cut, in units of similarity (2 is one bit). */
  readonly cutWidth: number;
}

/** Minimises the paper's binary cross-entropy, with the keys of highest score as positives. */
export interface PositivesLoss {
  readonly learns: "positives";
  /** Positives per query. */
  readonly top: number;
  /** Weight of a positive; a negative has weight 1. */
  readonly alpha: number;
}

/** What training takes for the signs of a key's outputs. */
export type KeySigns = "soft" | "straight-through";

/** Settings that decide a training run, together with the data, the seed and the map's shape. */
export interface Recipe<Loss extends MassLoss | PositivesLoss = MassLoss | PositivesLoss> {
  readonly name: "best" | "paper";
  readonly loss: Loss;
  /** a in tanh(a x), which stands for the bits of a code. */
  readonly slope: number;
  /**
   * Magnitude planes of a query code in validation, 0 to 3. With planes, training leaves the query's
   * outputs tanh(x) as they are.
   */
  readonly planes: number;
  /**
   * What stands for the bits of a key if there are planes: tanh(a x), or the signs themselves, which
   * gradients pass as if they were tanh(a x).
   */
  readonly keySigns: KeySigns;
  /** Tokens of a context per selected middle token: the budget of the cut and of validation. */
  readonly sparsity: number;
  /** Each step rotates queries and keys by an offset below this, which changes no score. */
  readonly ropeOffsets: number;
  /** Offset by which validation rotates queries and keys. */
  readonly validationOffset: number;
  /** Share of the steps that join two contexts, so that maps also see longer contexts. */
  readonly joins: number;
  /** Queries per head and step. */
  readonly queries: number;
  /** Keys per step, drawn without replacement; null for all. */
  readonly keys: number | null;
  readonly steps: number;
  readonly learningRate: number;
  readonly warmUpSteps: number;
  readonly schedule: "cosine" | "constant";
  /** Adam's decay rates of the first and second moment. */
  readonly betas: readonly [number, number];
  /** Decoupled (AdamW). */
  readonly weightDecay: number;
  /** Decay per step of the averaged weights, which become the map; 0 keeps the last weights. */
  readonly averageDecay: number;
  /** Number of validations in a run, evenly spread. */
  readonly validations: number;
  /** Validations in a row without a new best that end training; null for no limit. */
  readonly patience: number | null;
}

/**
 * The recipes by name. `paper` is the recipe of arXiv 2412.14468. `docs/notes-fit.md` shows what
 * each choice of `best` gains on held-out contexts.
 */
export const RECIPES: { readonly best: Recipe<MassLoss>; readonly paper: Recipe<PositivesLoss> } = {
  best: {
    name: "best",
    loss: { learns: "mass", cutWeight: 10, cutWidth: 2 },
    slope: 2,
    planes: 0,
    keySigns: "soft",
    sparsity: 32,
    ropeOffsets: 16384,
    validationOffset: 8192,
    joins: 0.5,
    queries: 256,
    keys: 2048,
    steps: 8000,
    learningRate: 2e-3,
    warmUpSteps: 50,
    schedule: "cosine",
    betas: [0.9, 0.99],
    weightDecay: 1,
    averageDecay: 0.995,
    validations: 20,
    patience: 10,
  },
  paper: {
    name: "paper",
    loss: { learns: "positives", top: 32, alpha: 20 },
    slope: 1,
    planes: 0,
    keySigns: "soft",
    sparsity: 32,
    ropeOffsets: 0,
    validationOffset: 0,
    joins: 0,
    queries: 32,
    keys: null,
    steps: 8000,
    learningRate: 1e-3,
    warmUpSteps: 0,
    schedule: "constant",
    betas: [0.9, 0.999],
    weightDecay: 0,
    averageDecay: 0,
    validations: 20,
    patience: null,
  },
};

/** Whether a validation follows this many steps: evenly spread, and after the last step. */
export function isValidated({ steps, validations }: Recipe, step: number): boolean {
  return step % Math.ceil(steps / validations) === 0 || step === steps;
}

/** The learning rate of a step, counted from 0. */
export function learningRateAt(recipe: Recipe, step: number): number {
  const { learningRate, warmUpSteps, schedule, steps } = recipe;
  const warmUp = Math.min(1, (step + 1) / Math.max(1, warmUpSteps));
  const decay = schedule === "cosine" ? (1 + Math.cos(Math.PI * step / steps)) / 2 : 1;
  return learningRate * warmUp * decay;
}

/** Decay of the averaged weights at a step, counted from 0. It is low at first, to forget noise. */
export function averageDecayAt({ averageDecay }: Recipe, step: number): number {
  return Math.min(averageDecay, (1 + step) / (10 + step));
}
