/** Trains a map: the loop over steps, with validation, the best map so far and early stopping. */
import { jit, type numpy as np } from "@jax-js/jax";
import type { LearnedMapShape } from "../../../kernels/maps/learned_map.ts";
import { createLosses } from "./losses.ts";
import {
  encodeRows,
  type HostParams,
  paramShapes,
  roundParams,
  sideParams,
} from "./model/model.ts";
import {
  createOptimiserStep,
  type HostState,
  type OptimiserState,
  toDevice,
} from "./model/optimiser.ts";
import { isValidated, type Recipe } from "./recipe.ts";
import type { Sampler } from "./data/sample.ts";
import type { Encode, Validate } from "./validate.ts";

/** Weights and their attention mass in validation. */
export interface Best {
  /** Steps taken. */
  readonly step: number;
  /** Share of the middle's attention mass that the map selects; null if nothing is held out. */
  readonly mass: number | null;
  /** Rounded as the map's file holds them, so that validation measures the map that is written. */
  readonly params: HostParams;
}

/** The state from which a run can continue. */
export interface Snapshot {
  /** Steps taken. */
  readonly step: number;
  readonly state: HostState;
  /** Null before the first validation. */
  readonly best: Best | null;
  /** Validations since the best one. */
  readonly waited: number;
  /** Running mean of the losses. */
  readonly loss: number;
}

/** The progress of a run. */
export interface Status {
  /** Steps taken. */
  readonly step: number;
  /** Running mean of the losses that have been read. */
  readonly loss: number;
  /** Mass of the last validation; null before the first one, and if nothing is held out. */
  readonly mass: number | null;
  readonly best: Best | null;
}

/** The reason why a run ended. */
export type Ending = "done" | "early" | "stopped";

/** A run to train. */
export interface Training {
  readonly recipe: Recipe;
  readonly shape: LearnedMapShape;
  readonly sample: Sampler;
  /** Null if nothing is held out: the last weights then count as the best. */
  readonly validate: Validate | null;
  readonly start: Snapshot;
  /** Steps whose losses may be unread while the next ones are queued. */
  readonly mostUnread: number;
  /** Called after each step; true ends the run. */
  afterStep(status: Status): boolean;
  /** Called with a snapshot after each validation and when the run ends. */
  save(snapshot: Snapshot): void;
}

/**
 * Trains until the recipe's steps are done, validation no longer improves, or `afterStep` ends it.
 *
 * @returns The best averaged weights, the last snapshot and the reason for the end.
 * @throws {DivergedError} if a loss is not finite.
 */
export async function train(
  training: Training,
): Promise<{ readonly best: Best; readonly last: Snapshot; readonly ending: Ending }> {
  const { recipe, shape, sample, validate, start } = training;
  const takeStep = createOptimiserStep(recipe);
  const encode = createEncode(shape);
  let state = stateToDevice(start.state, shape);
  let { step, best, waited } = start;
  const losses = createLosses(start.loss, training.mostUnread);
  let mass: number | null = null;
  let stopped = false;
  const snapshot = async () => {
    await losses.readAll();
    return { step, state: await stateToHost(state), best, waited, loss: losses.mean };
  };
  const isPatient = () => recipe.patience === null || waited < recipe.patience;

  while (step < recipe.steps && isPatient() && !stopped) {
    const [next, loss] = takeStep(state, sample(step), step);
    state = next;
    step++;
    await losses.add(step, loss);
    if (isValidated(recipe, step)) {
      await losses.readAll();
      const params = roundParams(await listToHost(state.average));
      mass = validate && await validate(encode(params));
      const better = mass === null || best === null || mass > best.mass!;
      if (better) best = { step, mass, params };
      waited = better ? 0 : waited + 1;
      training.save(await snapshot());
    }
    stopped = training.afterStep({ step, loss: losses.mean, mass, best });
  }
  const last = await snapshot();
  training.save(last);
  if (best === null) {
    const params = roundParams(last.state.average);
    best = { step, mass: validate && await validate(encode(params)), params };
  }
  const ending = step === recipe.steps ? "done" : isPatient() ? "stopped" : "early";
  return { best, last, ending };
}

/** Compiles an encoder once, for any weights of a shape. */
export function createEncode(shape: LearnedMapShape): (params: HostParams) => Encode {
  const compiled = jit(encodeRows);
  const shapes = paramShapes(shape);
  return (params) => async (side, rows) => {
    const layers = sideParams(params.map((data, i) => ({ shape: shapes[i], data })), side);
    return await compiled(layers.map(toDevice), toDevice(rows)).data() as Float32Array;
  };
}

function stateToDevice(
  { params, mean, square, average }: HostState,
  shape: LearnedMapShape,
): OptimiserState<np.Array> {
  const shapes = paramShapes(shape);
  const put = (list: HostParams) => list.map((data, i) => toDevice({ shape: shapes[i], data }));
  return { params: put(params), mean: put(mean), square: put(square), average: put(average) };
}

async function stateToHost(state: OptimiserState<np.Array>): Promise<HostState> {
  const { params, mean, square, average } = state;
  const lists = await Promise.all([params, mean, square, average].map(listToHost));
  return { params: lists[0], mean: lists[1], square: lists[2], average: lists[3] };
}

/** Copies arrays to the host and keeps the arrays. */
function listToHost(arrays: readonly np.Array[]): Promise<Float32Array<ArrayBuffer>[]> {
  return Promise.all(
    arrays.map(async (array) => Float32Array.from(await array.ref.data() as Float32Array)),
  );
}
