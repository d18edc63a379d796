/** Checkpoints: a snapshot of training and the identity of its run, as a safetensors file. */
import type { LearnedMapShape } from "../../../kernels/maps/learned_map.ts";
import {
  InvalidFileError,
  readSafetensors,
  type SafetensorsFile,
  type SafetensorsTensor,
  writeSafetensors,
} from "../../../kernels/maps/safetensors.ts";
import { type HostParams, paramShapes } from "./model/model.ts";
import type { Snapshot } from "./train.ts";

/** Properties, by name, that a run must share with a checkpoint to resume it. */
export type RunIdentity = Readonly<Record<string, string>>;

/** The version of the format; no other version is read. */
const VERSION = "1";

const STATE_LISTS = ["params", "mean", "square", "average"] as const;

/** Prefix of the metadata that hold the run's identity. */
const RUN = "run.";

/** The bytes of a checkpoint. */
export function writeCheckpoint(
  snapshot: Snapshot,
  run: RunIdentity,
  shape: LearnedMapShape,
): Uint8Array {
  const { step, state, best, waited, loss } = snapshot;
  const shapes = paramShapes(shape);
  const tensors = new Map<string, SafetensorsTensor>();
  const put = (list: string, params: HostParams) => {
    for (const [i, data] of params.entries()) {
      const bytes = new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
      tensors.set(`${list}.${i}`, { dtype: "F32", shape: shapes[i], data: bytes });
    }
  };
  for (const list of STATE_LISTS) put(list, state[list]);
  if (best !== null) put("best", best.params);
  return writeSafetensors(tensors, {
    fit_checkpoint: VERSION,
    step: String(step),
    waited: String(waited),
    loss: String(loss),
    ...(best && { best_step: String(best.step), best_mass: String(best.mass) }),
    ...Object.fromEntries(Object.entries(run).map(([name, value]) => [RUN + name, value])),
  });
}

/**
 * Reads a checkpoint.
 *
 * @throws {InvalidFileError} in one sentence, if the bytes are not a checkpoint of this run.
 */
export function readCheckpoint(
  bytes: Uint8Array,
  run: RunIdentity,
  shape: LearnedMapShape,
): Snapshot {
  const file = readSafetensors(bytes);
  const { metadata } = file;
  if (metadata.fit_checkpoint !== VERSION) {
    throw new InvalidFileError("the file is not a checkpoint of this version of fit");
  }
  const different = Object.entries(run)
    .filter(([name, value]) => metadata[RUN + name] !== value)
    .map(([name, value]) => `${name} ${metadata[RUN + name] ?? "unknown"} and not ${value}`);
  if (different.length > 0) {
    throw new InvalidFileError(`the checkpoint is of another run: ${different.join(", ")}`);
  }
  const list = (name: string) => readList(file, name, paramShapes(shape));
  const [params, mean, square, average] = STATE_LISTS.map(list);
  const massOf = () => metadata.best_mass === "null" ? null : numberOf(metadata, "best_mass");
  return {
    step: numberOf(metadata, "step"),
    state: { params, mean, square, average },
    best: metadata.best_step === undefined
      ? null
      : { step: numberOf(metadata, "best_step"), mass: massOf(), params: list("best") },
    waited: numberOf(metadata, "waited"),
    loss: numberOf(metadata, "loss"),
  };
}

function numberOf(metadata: SafetensorsFile["metadata"], name: string): number {
  const value = Number(metadata[name] ?? NaN);
  if (!Number.isFinite(value)) throw new InvalidFileError(`the checkpoint has no sound ${name}`);
  return value;
}

function readList(
  { tensors }: SafetensorsFile,
  list: string,
  shapes: readonly (readonly number[])[],
): Float32Array<ArrayBuffer>[] {
  return shapes.map((shape, i) => {
    const tensor = tensors.get(`${list}.${i}`);
    if (tensor?.dtype !== "F32" || String(tensor.shape) !== String(shape)) {
      throw new InvalidFileError(`the checkpoint has no "${list}.${i}" of F32 [${shape}]`);
    }
    return new Float32Array(tensor.data.slice().buffer);
  });
}
