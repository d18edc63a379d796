/**
 * The learned map as differentiable arrays: for each query head, or for the KV head, an MLP for
 * queries and one for keys. Functions on arrays take ownership of their arguments, as in jax-js.
 */
import { numpy as np } from "@jax-js/jax";
import { createRandom } from "../../../../fixtures/random.ts";
import {
  type LearnedMap,
  type LearnedMapShape,
  mapHeadLayers,
} from "../../../../kernels/maps/learned_map.ts";
import type { CodeSharing } from "../../../../kernels/core/problem/problem.ts";
import { mapLayers, mapNumbers } from "../../../../kernels/core/problem/derived.ts";
import { silu } from "./activations.ts";

/**
 * The trained parameters on the host. The arrays of the query side come first, then those of the
 * key side: for each layer the weights [heads, in, out] and the bias [heads, 1, out]. The last one
 * is the log scale of the similarities [heads, 1, 1].
 */
export type HostParams = readonly Float32Array<ArrayBuffer>[];

/** Who owns a map: each query head, or the KV head, whose query heads share one map of queries. */
export type FitSharing = Extract<CodeSharing, "head" | "kv">;

/** The weights at the start of training. */
export type InitialMap = "random" | "rotation";

/** First random stream of the initial weights; the streams below belong to the steps. */
const WEIGHT_STREAMS = 0xf1700000;

/** Initial factor of the similarities before the softmax; each head learns its own. */
const INITIAL_SCALE = 0.3;

/** The shapes of {@linkcode HostParams}. */
export function paramShapes(shape: LearnedMapShape): number[][] {
  const side = mapLayers(shape).flatMap(([inputs, outputs]) => [
    [shape.heads, inputs, outputs],
    [shape.heads, 1, outputs],
  ]);
  return [...side, ...side, [shape.heads, 1, 1]];
}

/** Uniform weights and biases within 1/sqrt(in), PyTorch's default for linear layers. */
export function initialParams(shape: LearnedMapShape, seed: number): HostParams {
  const layers = mapLayers(shape);
  const shapes = paramShapes(shape);
  return shapes.map((sizes, i) => {
    const data = new Float32Array(sizes.reduce((a, b) => a * b));
    if (i === shapes.length - 1) return data.fill(Math.log(INITIAL_SCALE));
    const bound = 1 / Math.sqrt(layers[Math.floor(i / 2) % layers.length][0]);
    const random = createRandom(seed, WEIGHT_STREAMS + i);
    return data.map(() => bound * (2 * random.uniform() - 1));
  });
}

/** The arrays of one side's MLP. */
export function sideParams<T>(params: readonly T[], side: "query" | "key"): T[] {
  const count = (params.length - 1) / 2;
  return side === "query" ? params.slice(0, count) : params.slice(count, 2 * count);
}

/**
 * The pre-activations of codes.
 *
 * @param layers The arrays of {@linkcode sideParams}.
 * @param rows [heads, n, headDim], or [n, headDim] for rows that all maps share. More heads than
 * maps share the one map.
 * @returns [heads, n, bits]; for rows that all maps share [maps, n, bits].
 */
export function encodeRows(layers: readonly np.Array[], rows: np.Array): np.Array {
  const [maps] = layers[0].shape;
  const headDim = rows.shape[rows.ndim - 1];
  const sizes = rows.ndim === 3 ? rows.shape.slice(0, 2) : [maps, rows.shape[0]];
  let x = rows.ndim === 3
    ? rows.reshape([maps, -1, headDim])
    : np.broadcastTo(rows, [maps, ...rows.shape]);
  for (let i = 0; i < layers.length; i += 2) {
    x = np.matmul(i === 0 ? x : silu(x), layers[i]).add(layers[i + 1]);
  }
  return x.reshape([...sizes, -1]);
}

/** Rounds parameters to f16, to nearest even, as a map's file holds them. */
export function roundParams(params: HostParams): HostParams {
  return params.map((numbers) => Float32Array.from(new Float16Array(numbers)));
}

/** The f16 map of trained parameters. */
export function toLearnedMap(
  shape: LearnedMapShape,
  params: HostParams,
  about: LearnedMap["about"],
): LearnedMap {
  const side = (name: "query" | "key") => {
    const arrays = sideParams(params, name);
    const numbers = new Float16Array(shape.heads * mapNumbers(shape));
    for (let head = 0; head < shape.heads; head++) {
      for (const [layer, { weights, bias }] of mapHeadLayers(shape, numbers, head).entries()) {
        weights.set(arrays[2 * layer].subarray(head * weights.length, (head + 1) * weights.length));
        bias.set(arrays[2 * layer + 1].subarray(head * bias.length, (head + 1) * bias.length));
      }
    }
    return numbers;
  };
  return { shape, query: side("query"), key: side("key"), about };
}
