/** Recipes of training, as data: what is minimised on which samples, and by which optimiser. */

/** What is minimised up to some share of the steps: a weighted sum of losses, see `loss.ts`. */
export interface LossPhase {
  /** Share of the steps at which the next phase begins; 1 for the last. */
  readonly until: number;
  /** Weight of the cross-entropy between attention and softmax of the similarities. */
  readonly kl: number;
  /** Weight of the attention mass lost below a soft cut at the budget. */
  readonly cut: number;
  /** Weight of the paper's binary cross-entropy on the positives. */
  readonly bce: number;
}

/** All that decides a training run but the data, the seed and the shape of the map. */
export interface Recipe {
  readonly name: "best" | "paper";
  /** In order. `bce` is not mixed with the others: their targets differ. */
  readonly phases: readonly LossPhase[];
  /** What stands for the bits of a code: their sign, or tanh; the gradient is tanh's in both. */
  readonly relaxation: "sign" | "tanh";
  /** a in tanh(a x). */
  readonly slope: number;
  /** Positives of a query, for `bce`. */
  readonly top: number;
  /** Weight of a positive; a negative weighs 1. */
  readonly alpha: number;
  /** The similarity's factor before the softmax of `kl`, learned per head from here. */
  readonly initialScale: number;
  /** Width of the soft cut, in units of similarity (2 is one bit). */
  readonly cutWidth: number;
  /** Tokens of a context per middle token taken: the budget that `cut` and validation look at. */
  readonly sparsity: number;
  /** Queries and keys of a step are rotated by an offset below this, which changes no score. */
  readonly ropeOffsets: number;
  /** The offset of validation's queries and keys. */
  readonly validationOffset: number;
  /** Share of the steps whose context follows another one, so that maps meet longer contexts. */
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
  /** Decay per step of the averaged weights, which become the map; 0 for the last weights. */
  readonly averageDecay: number;
  /** Validations of a run, evenly spread. */
  readonly validations: number;
  /** Validations in a row without a new best after which training ends; null never. */
  readonly patience: number | null;
}

/**
 * The recipes by name. `paper` is arXiv 2412.14468's; `bench/NOTES-fit.md` tells what each
 * choice of `best` gains on held-out contexts.
 */
export const RECIPES: Readonly<Record<Recipe["name"], Recipe>> = {
  best: {
    name: "best",
    phases: [{ until: 1, kl: 1, cut: 10, bce: 0 }],
    relaxation: "tanh",
    slope: 2,
    top: 0,
    alpha: 0,
    initialScale: 0.3,
    cutWidth: 2,
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
    phases: [{ until: 1, kl: 0, cut: 0, bce: 1 }],
    relaxation: "tanh",
    slope: 1,
    top: 32,
    alpha: 20,
    initialScale: 1,
    cutWidth: 0,
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

/** Whether a recipe learns from positives (the paper's) and not from attention mass. */
export function learnsPositives({ phases }: Recipe): boolean {
  return phases.some(({ bce }) => bce > 0);
}

/** The phase of a step, counted from 0. */
export function phaseAt({ phases, steps }: Recipe, step: number): LossPhase {
  return phases.find(({ until }) => step < until * steps) ?? phases[phases.length - 1];
}

/** Whether there is a validation after this many steps: evenly spread, and after the last. */
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

/** Decay of the averaged weights at a step, counted from 0: short at first, for a start from noise. */
export function averageDecayAt({ averageDecay }: Recipe, step: number): number {
  return Math.min(averageDecay, (1 + step) / (10 + step));
}
