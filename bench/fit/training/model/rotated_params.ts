/** The rotation as the start of training. */
import { rotate, rotationWidth } from "../../../../kernels/encode/rotation.ts";
import type { LearnedMapShape } from "../../../../kernels/maps/learned_map.ts";
import type { FitContext } from "../data/contexts.ts";
import { type HostParams, paramShapes, sideParams } from "./model.ts";

/** Seed of the rotation's signs, that of rotated codes without another seed. */
const SEED = 1;

/**
 * Root mean square of the outputs at the start. A factor changes no sign, and tanh is almost linear
 * here, so that the outputs of a query keep their proportions.
 */
const OUTPUT_RMS = 0.25;

/**
 * Parameters of a linear map that is the rotation, up to a factor for queries and one for keys.
 * There is no bias.
 *
 * @param params The arrays to copy, whose scale of the similarities is kept.
 */
export function rotatedParams(
  shape: LearnedMapShape,
  params: HostParams,
  contexts: readonly FitContext[],
): HostParams {
  const { headDim, bits } = shape;
  const shapes = paramShapes(shape);
  const columns = Array.from({ length: headDim }, (_, d) => {
    const unit = new Float64Array(headDim);
    unit[d] = 1;
    return rotate(unit, bits, SEED);
  });
  const side = (name: "query" | "key") => {
    // The rotation spreads the squares of a row over its whole width.
    const spread = Math.sqrt(rotationWidth(headDim, bits) / headDim);
    const factor = OUTPUT_RMS * spread / rmsOf(contexts, name === "query" ? "q" : "k");
    const [weights, bias] = sideParams(shapes, name);
    const numbers = Float32Array.from({ length: size(weights) }, (_, i) => {
      const [row, bit] = [Math.floor(i / bits) % headDim, i % bits];
      return factor * columns[row][bit];
    });
    return [numbers, new Float32Array(size(bias))];
  };
  return [...side("query"), ...side("key"), params[params.length - 1]];
}

function size(shape: readonly number[]): number {
  return shape.reduce((a, b) => a * b);
}

/** Root mean square of the elements of all contexts' queries or keys; 1 if all are 0. */
function rmsOf(contexts: readonly FitContext[], rows: "q" | "k"): number {
  let squares = 0;
  let count = 0;
  for (const context of contexts) {
    for (const x of context[rows]) squares += x * x;
    count += context[rows].length;
  }
  return Math.sqrt(squares / count) || 1;
}
