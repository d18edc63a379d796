/** Test support: limits under which a problem runs in pieces, and inputs of all pieces. */
import type { InputSource } from "../../bench/measure/inputs/input_source.ts";
import type { DeviceLimits, Variant } from "../../kernels/core/variant.ts";
import type { Params } from "../../kernels/core/problem/constants.ts";
import { LARGE_LIMITS } from "../../kernels/core/device_limits.ts";
import { bufferBytes } from "../../kernels/core/layout.ts";
import { partStart, pieceProblem, piecesOf, planOn } from "../../kernels/core/pieces.ts";
import type { Problem } from "../../kernels/core/problem/problem.ts";
import { allocate } from "../../kernels/core/run/program.ts";
import { poison } from "../../kernels/core/run/run.ts";
import { merge } from "../../kernels/merge/merge.ts";
import type { TestDevice } from "../device/test_device.ts";
import type { InputOptions, Inputs } from "./input_options.ts";
import { makeInputs } from "./inputs.ts";

/** The limits of a device that binds no more than `heads` KV heads of a sequence. */
export function limitsForHeads(limits: DeviceLimits, p: Problem, heads: number): DeviceLimits {
  const headBytes = bufferBytes(p).keys / (p.batch * p.kvHeads);
  return { ...limits, maxStorageBufferBindingSize: heads * headBytes };
}

/** Inputs of a variant in pieces: those of each piece where it reads them. All else is poison. */
export function piecedInputs(
  { device }: TestDevice,
  limits: DeviceLimits,
  variant: Variant,
  p: Problem,
  params: Params,
  options: InputOptions,
): InputSource {
  const pieces = piecesOf(p, limits)!;
  const plan = planOn(variant, p, params, limits);
  const inputs = Array.from(
    { length: pieces.count },
    (_, piece) => pieceInputs(variant, pieceProblem(p, pieces, piece), params, options, piece),
  );
  const made: GPUBuffer[] = [];
  return {
    device,
    problem: p,
    settings: { limits, seed: 0, unroll: false },
    get(name, spec) {
      const { [name]: buffer } = allocate(device, { [name]: spec });
      made.push(buffer);
      poison(device, buffer, spec.zeros);
      inputs.forEach(({ [name]: data }, piece) => {
        const start = partStart(pieces, plan, name, piece);
        device.queue.writeBuffer(buffer, start, data.buffer, data.byteOffset, data.byteLength);
      });
      return Promise.resolve(buffer);
    },
    known: () => new Map(),
    destroy: () => made.forEach((buffer) => buffer.destroy()),
  };
}

/** The inputs of a piece, different from those of the others. Every piece has lengths and sinks. */
function pieceInputs(
  variant: Variant,
  p: Problem,
  params: Params,
  options: InputOptions,
  piece: number,
): Inputs {
  const own = { ...options, lengths: p.lengths!, seed: options.seed + piece };
  const { sink_logits } = makeInputs(merge, p, merge.defaults(p, LARGE_LIMITS), own);
  return {
    lengths: Uint32Array.from(p.lengths!),
    sink_logits,
    ...makeInputs(variant, p, params, own),
  };
}
