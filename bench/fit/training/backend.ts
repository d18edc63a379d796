/** The backend of jax-js: the CPU (wasm), or a GPU (WebGPU) that is checked first. */
import { defaultDevice, init, jit, type numpy as np, valueAndGrad } from "@jax-js/jax";
import { NoAdapterError, openAdapter } from "../../edge/open_adapter.ts";
import { UsageError } from "../../base/usage_error.ts";
import { batchLoss, type DeviceBatch } from "./model/loss.ts";
import { type HostParams, paramShapes } from "./model/model.ts";
import { batchToDevice, toDevice } from "./model/optimiser.ts";
import type { Recipe } from "./recipe.ts";
import type { Batch } from "./data/sample.ts";
import type { LearnedMapShape } from "../../../kernels/maps/learned_map.ts";

/** A backend of jax-js. */
export type Backend = "wasm" | "webgpu";

/** A value of `--backend`. */
export type WantedBackend = Backend | "auto";

/** The two backends compute different results. */
export class BackendMismatchError extends Error {
  /** The message names the quantity that differs, and the relative difference. */
  constructor(quantity: string, difference: number) {
    super(
      `The WebGPU backend computes another ${quantity} than the CPU ` +
        `(${difference.toExponential(1)} apart); --backend wasm trains on the CPU.`,
    );
    this.name = "BackendMismatchError";
  }
}

/** The largest relative differences that rounding can explain. */
const MOST_DIFFERENCE = { loss: 1e-4, gradient: 1e-3 } as const;

/**
 * Opens the backend: `auto` takes WebGPU if its adapter is a GPU, not a software adapter.
 *
 * @throws {UsageError} if WebGPU is asked for and no device is found.
 */
export async function openBackend(wanted: WantedBackend): Promise<Backend> {
  if (wanted === "wasm" || (wanted === "auto" && !(await hasGpu()))) return "wasm";
  if (!(await init("webgpu")).includes("webgpu")) {
    throw new UsageError("--backend webgpu finds no WebGPU device; --backend wasm needs none.");
  }
  return "webgpu";
}

async function hasGpu(): Promise<boolean> {
  try {
    return !(await openAdapter()).info.software;
  } catch (error) {
    if (error instanceof NoAdapterError) return false;
    throw error;
  }
}

/** The loss and gradient to compute on both backends. */
export interface BackendCheck {
  readonly recipe: Recipe;
  readonly shape: LearnedMapShape;
  readonly params: HostParams;
  readonly batch: Batch;
}

/**
 * Computes the loss and gradient of a batch on WebGPU and on the CPU.
 *
 * @throws {BackendMismatchError} if they differ by more than rounding can explain.
 */
export async function checkWebGpu(check: BackendCheck): Promise<void> {
  const expected = await lossAndGradient("wasm", check);
  const actual = await lossAndGradient("webgpu", check);
  assertAgreement(actual, expected);
}

/** A loss and its gradient, with the numbers of all parameters in one list. */
export interface LossAndGradient {
  readonly loss: readonly number[];
  readonly gradient: readonly number[];
}

/**
 * Compares WebGPU's numbers with the CPU's.
 *
 * @throws {BackendMismatchError} if they differ by more than rounding can explain.
 */
export function assertAgreement(actual: LossAndGradient, expected: LossAndGradient): void {
  for (const quantity of ["loss", "gradient"] as const) {
    const difference = relativeDifference(actual[quantity], expected[quantity]);
    if (!(difference <= MOST_DIFFERENCE[quantity])) {
      throw new BackendMismatchError(quantity, difference);
    }
  }
}

async function lossAndGradient(
  backend: Backend,
  { recipe, shape, params, batch }: BackendCheck,
): Promise<LossAndGradient> {
  defaultDevice(backend);
  const compiled = jit(
    valueAndGrad((arrays: np.Array[], samples: DeviceBatch) => batchLoss(recipe, arrays, samples)),
  );
  const shapes = paramShapes(shape);
  const arrays = params.map((data, i) => toDevice({ shape: shapes[i], data }));
  const [loss, gradients] = compiled(arrays, batchToDevice(batch));
  const gradient: number[] = [];
  for (const each of gradients as np.Array[]) {
    for (const value of await each.data()) gradient.push(value);
  }
  return { loss: [...await loss.data()], gradient };
}

/** ||actual - expected|| / ||expected||. */
function relativeDifference(actual: readonly number[], expected: readonly number[]): number {
  let distance2 = 0;
  let norm2 = 0;
  for (const [i, value] of expected.entries()) {
    distance2 += (actual[i] - value) ** 2;
    norm2 += value ** 2;
  }
  return Math.sqrt(distance2 / norm2);
}
