import { assertAlmostEquals } from "@std/assert";
import { grad, numpy as np, valueAndGrad } from "@jax-js/jax";
import { createRandom } from "../../../../fixtures/random.ts";
import { encodeReference, PLANE_CLIPS } from "../../../../kernels/encode/reference.ts";
import type { LearnedMapShape } from "../../../../kernels/maps/learned_map.ts";
import { sigmoid, silu, softplus } from "./activations.ts";
import { batchLoss } from "./loss.ts";
import { type HostParams, initialParams, paramShapes, sideParams } from "./model.ts";
import { batchToDevice, toDevice } from "./optimiser.ts";
import { type MassLoss, type Recipe, RECIPES } from "../recipe.ts";
import type { Batch, HostTensor } from "../data/sample.ts";

/** jax-js keeps its worker threads for the next test. */
const JAX = { sanitizeOps: false, sanitizeResources: false } as const;

const [HEADS, QUERIES, KEYS, HEAD_DIM, BITS] = [2, 3, 12, 6, 8];
const SHAPE: LearnedMapShape = {
  headDim: HEAD_DIM,
  bits: BITS,
  sharing: "head",
  heads: HEADS,
  map: { layers: 3, hidden: 10, dtype: "f32" },
};
const LAST_TOKENS = [4, 9, 20];
/** Index of the log scale among the parameters: after weights and biases of both sides. */
const LOG_SCALE = 12;

function makeBatch(): Required<Batch> {
  const random = createRandom(5);
  const normal = (...shape: number[]): HostTensor => ({
    shape,
    data: Float32Array.from({ length: shape.reduce((a, b) => a * b) }, () => random.normal()),
  });
  const labels = normal(HEADS, QUERIES, KEYS);
  return {
    queries: normal(HEADS, QUERIES, HEAD_DIM),
    keys: normal(KEYS, HEAD_DIM),
    tokens: { shape: [1, KEYS], data: Float32Array.from({ length: KEYS }, (_, i) => 11 - i) },
    lastTokens: { shape: [QUERIES, 1], data: Float32Array.from(LAST_TOKENS) },
    edges: normal(HEADS, QUERIES, 1),
    cuts: normal(QUERIES, 1),
    keyWeight: { shape: [1, 1], data: Float32Array.of(2.5) },
    labels: { ...labels, data: labels.data.map((x) => Number(x > 0.5)) },
  };
}

/** The numbers of a code whose dot products are similarities. */
function codeOf(side: "query" | "key", outputs: Float64Array, { slope, planes }: Recipe) {
  if (planes === 0) return outputs.map((x) => Math.tanh(slope * x));
  if (side === "key") return outputs.map(Math.sign);
  const weights = outputs.map(Math.tanh);
  const rms = Math.sqrt(weights.reduce((total, y) => total + y * y, 0) / BITS);
  const clip = PLANE_CLIPS[planes];
  return weights.map((y) => Math.max(-clip, Math.min(clip, y / rms)));
}

/** Similarities and logits of one head in f64, [query][key], of the keys in the query's middle. */
function pairsOf(params: HostParams, batch: Required<Batch>, recipe: Recipe) {
  const codesOf = (side: "query" | "key", head: number, { data }: HostTensor, row: number) => {
    const arrays = sideParams(params, side);
    const maps = params[LOG_SCALE].length;
    const map = head % maps;
    const cut = (list: Float32Array) =>
      list.subarray(map * list.length / maps, (map + 1) * list.length / maps);
    const layers = [0, 2, 4].map((i) => ({ weights: cut(arrays[i]), bias: cut(arrays[i + 1]) }));
    const outputs = encodeReference(data.subarray(row * HEAD_DIM, (row + 1) * HEAD_DIM), layers);
    return codeOf(side, outputs, recipe);
  };
  const dot = (a: ArrayLike<number>, b: ArrayLike<number>) =>
    Array.from(a, (x, i) => x * b[i]).reduce((sum, x) => sum + x, 0);
  const rowOf = ({ data }: HostTensor, row: number) =>
    data.subarray(row * HEAD_DIM, (row + 1) * HEAD_DIM);
  return Array.from({ length: HEADS * QUERIES }, (_, row) => {
    const [head, query] = [Math.floor(row / QUERIES), row % QUERIES];
    const queryCode = codesOf("query", head, batch.queries, row);
    const keys = Array.from({ length: KEYS }, (_, key) => key)
      .filter((key) => batch.tokens.data[key] <= LAST_TOKENS[query]);
    const pairs = keys.map((key) => ({
      similarity: dot(queryCode, codesOf("key", head, batch.keys, key)),
      logit: dot(rowOf(batch.queries, row), rowOf(batch.keys, key)) / Math.sqrt(HEAD_DIM),
      label: batch.labels.data[row * KEYS + key],
    }));
    const exponentials = pairs.map(({ logit }) => 2.5 * Math.exp(logit));
    const total = exponentials.reduce((a, b) => a + b, Math.exp(batch.edges.data[row]));
    return { head, query, pairs, mass: exponentials.map((each) => each / total) };
  });
}

const logistic = (x: number) => 1 / (1 + Math.exp(-x));
const sum = (numbers: readonly number[]) => numbers.reduce((a, b) => a + b, 0);
const mean = (numbers: readonly number[]) => sum(numbers) / numbers.length;

const { best, paper } = RECIPES;

/** The paper's loss in f64. */
function paperLoss(params: HostParams, batch: Required<Batch>): number {
  const terms = pairsOf(params, batch, paper).flatMap(({ pairs }) =>
    pairs.map(({ similarity, label }) =>
      label === 1
        ? -paper.loss.alpha * Math.log(logistic(similarity))
        : -Math.log(1 - logistic(similarity))
    )
  );
  return mean(terms);
}

const weighted: Recipe<MassLoss> = { ...best, planes: 2, keySigns: "straight-through" };

/** Cross-entropy and lost mass in f64. */
function massLoss(params: HostParams, batch: Required<Batch>, recipe = best): number {
  const rows = pairsOf(params, batch, recipe).map(({ head, query, pairs, mass }) => {
    const similarities = pairs.map(({ similarity }) => similarity);
    const scale = Math.exp(params[LOG_SCALE][head % params[LOG_SCALE].length]);
    const exponentials = similarities.map((each) => Math.exp(scale * each));
    const all = sum(exponentials);
    const average = mean(similarities);
    const variance = mean(similarities.map((each) => (each - average) ** 2));
    const cut = average + Math.sqrt(variance) * batch.cuts.data[query];
    return -sum(mass.map((each, i) => {
      const kept = logistic((similarities[i] - cut) / best.loss.cutWidth);
      return each * (Math.log(exponentials[i] / all) + best.loss.cutWeight * kept);
    }));
  });
  return mean(rows);
}

const ONE_MAP: LearnedMapShape = { ...SHAPE, sharing: "kv", heads: 1 };
const PLACES = [[0, 5], [1, 3], [4, 70], [6, 9], [10, 100], [11, 15], [LOG_SCALE, 1]];
/** Signs of keys have no slope to compare with: places of the query's map and of the scale. */
const QUERY_PLACES = [[0, 5], [1, 3], [2, 70], [4, 70], [5, 2], [LOG_SCALE, 0]];

const CASES = [
  { name: "paper", recipe: paper, lossOf: paperLoss, shape: SHAPE, places: PLACES },
  { name: "best", recipe: best, lossOf: massLoss, shape: SHAPE, places: PLACES },
  {
    name: "best with 2 planes and one map",
    recipe: weighted,
    lossOf: (params: HostParams, batch: Required<Batch>) => massLoss(params, batch, weighted),
    shape: ONE_MAP,
    places: QUERY_PLACES,
  },
];

for (const { name, recipe, lossOf, shape, places } of CASES) {
  Deno.test({
    name: `batchLoss() and its gradient equal a plain f64 computation: ${name}`,
    ...JAX,
    fn: async () => {
      const batch = makeBatch();
      const params = initialParams(shape, 3);
      const shapes = paramShapes(shape);
      const [loss, gradients] = valueAndGrad((arrays: np.Array[]) =>
        batchLoss(recipe, arrays, batchToDevice(batch))
      )(params.map((data, i) => toDevice({ shape: shapes[i], data })));
      // jax-js's logarithm is accurate to 2e-5 on the CPU.
      assertAlmostEquals((await loss.data())[0], lossOf(params, batch), 2e-4);
      const gradient = await Promise.all((gradients as np.Array[]).map((each) => each.data()));
      for (const [list, at] of places) {
        const [up, down] = [1e-3, -1e-3].map((step) => {
          const moved = params.map((data) => data.slice());
          moved[list][at] += step;
          return { loss: lossOf(moved, batch), value: moved[list][at] };
        });
        const slope = (up.loss - down.loss) / (up.value - down.value);
        assertAlmostEquals(gradient[list][at], slope, 1e-4 + 1e-3 * Math.abs(slope));
      }
    },
  });
}

Deno.test({
  name: "sigmoid(), silu() and softplus() and their gradients stay finite far from 0",
  ...JAX,
  fn: async () => {
    const x = [-300, -90, -1, 0, 1, 90, 300];
    const cases: [(x: np.Array) => np.Array, (x: number) => number, (x: number) => number][] = [
      [sigmoid, logistic, (x) => logistic(x) * logistic(-x)],
      [silu, (x) => x * logistic(x), (x) => logistic(x) + x * logistic(x) * logistic(-x)],
      [softplus, (x) => Math.max(x, 0) + Math.log1p(Math.exp(-Math.abs(x))), logistic],
    ];
    for (const [activation, value, slope] of cases) {
      const values = await activation(np.array(x)).data();
      const slopes = await grad((at: np.Array) => np.sum(activation(at)))(np.array(x)).data();
      for (const [i, at] of x.entries()) {
        assertAlmostEquals(values[i], value(at), 1e-5);
        assertAlmostEquals(slopes[i], slope(at), 1e-5);
      }
    }
  },
});
