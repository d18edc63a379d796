/**
 * AdamW (arXiv 1711.05101) with a running average of the weights, compiled as one step. jax-js has
 * an optimiser library, @jax-js/optax, but it is not on npm.
 */
import { jit, numpy as np, valueAndGrad } from "@jax-js/jax";
import { batchLoss, type DeviceBatch } from "./loss.ts";
import type { HostParams } from "./model.ts";
import { averageDecayAt, learningRateAt, type Recipe } from "../recipe.ts";
import type { Batch, HostTensor } from "../data/sample.ts";

/** Keeps the quotient of Adam's moments finite. */
const EPSILON = 1e-8;

/** The arrays that a step changes; each list has one entry per parameter. */
export type OptimiserState<T> = {
  readonly params: T[];
  /** First moments of the gradients. */
  readonly mean: T[];
  /** Second moments. */
  readonly square: T[];
  /** Running averages of the parameters. */
  readonly average: T[];
};

/** The state on the host. */
export type HostState = OptimiserState<Float32Array<ArrayBuffer>>;

/** The state before the first step. */
export function initialState(params: HostParams): HostState {
  const zeros = () => params.map(({ length }) => new Float32Array(length));
  return { params: [...params], mean: zeros(), square: zeros(), average: [...params] };
}

/** Copies a host tensor to the default device. */
export function toDevice({ shape, data }: HostTensor): np.Array {
  return np.array(data, { shape: [...shape] });
}

/** Copies a batch to the default device. */
export function batchToDevice(batch: Batch): DeviceBatch {
  return Object.fromEntries(
    Object.entries(batch).map(([name, tensor]) => [name, toDevice(tensor)]),
  ) as DeviceBatch;
}

/** Scalars that depend on the step. */
type StepScalars = {
  readonly learningRate: np.Array;
  /** 1 - beta^step of both moments. */
  readonly meanCorrection: np.Array;
  readonly squareCorrection: np.Array;
  readonly averageDecay: np.Array;
};

/** One step of training: consumes the state and returns the new one and the batch's loss. */
export type OptimiserStep = (
  state: OptimiserState<np.Array>,
  batch: Batch,
  step: number,
) => [OptimiserState<np.Array>, np.Array];

/** Compiles the step of a recipe for the default device. */
export function createOptimiserStep(recipe: Recipe): OptimiserStep {
  const [beta1, beta2] = recipe.betas;
  const lossAndGradient = valueAndGrad((params: np.Array[], batch: DeviceBatch) =>
    batchLoss(recipe, params, batch)
  );
  const compiled = jit(
    (state: OptimiserState<np.Array>, batch: DeviceBatch, scalars: StepScalars) => {
      const [loss, gradient] = lossAndGradient(refs(state.params), batch);
      const mean = state.mean.map((m, i) =>
        m.mul(beta1).add((gradient[i].ref as np.Array).mul(1 - beta1))
      );
      const square = state.square.map((v, i) =>
        v.mul(beta2).add(np.square(gradient[i] as np.Array).mul(1 - beta2))
      );
      const params = state.params.map((param, i) => {
        // The last parameter is the scale of the similarities, which must not decay.
        const decay = i < state.params.length - 1 ? recipe.weightDecay : 0;
        const shrunk = param.ref.sub(param.mul(scalars.learningRate.ref).mul(decay));
        const deviation = np.sqrt(square[i].ref.div(scalars.squareCorrection.ref)).add(EPSILON);
        const direction = mean[i].ref.div(scalars.meanCorrection.ref).div(deviation);
        return shrunk.sub(direction.mul(scalars.learningRate.ref));
      });
      const average = state.average.map((a, i) =>
        a.mul(scalars.averageDecay.ref)
          .add(params[i].ref.mul(np.subtract(1, scalars.averageDecay.ref)))
      );
      for (const scalar of Object.values(scalars)) scalar.dispose();
      return [{ params, mean, square, average }, loss] as [OptimiserState<np.Array>, np.Array];
    },
  );
  return (state, batch, step) =>
    compiled(state, batchToDevice(batch), {
      learningRate: np.array(learningRateAt(recipe, step)),
      meanCorrection: np.array(1 - beta1 ** (step + 1)),
      squareCorrection: np.array(1 - beta2 ** (step + 1)),
      averageDecay: np.array(averageDecayAt(recipe, step)),
    });
}

function refs(arrays: readonly np.Array[]): np.Array[] {
  return arrays.map((array) => array.ref);
}
