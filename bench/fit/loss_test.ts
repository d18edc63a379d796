import { assert, assertAlmostEquals, assertEquals } from "@std/assert";
import { grad, numpy as np, valueAndGrad } from "@jax-js/jax";
import { createRandom } from "../../fixtures/random.ts";
import { encodeReference } from "../../kernels/encode/reference.ts";
import type { LearnedMapShape } from "../../kernels/encode/learned_map.ts";
import { sigmoid, silu, softplus } from "./activations.ts";
import { batchLoss } from "./loss.ts";
import { type HostParams, initialParams, paramShapes, relaxedBits, sideParams } from "./model.ts";
import { batchToDevice, toDevice } from "./optimiser.ts";
import type { Batch, HostTensor } from "./sample.ts";

/** jax-js's worker threads stay for the next test. */
const JAX = { sanitizeOps: false, sanitizeResources: false } as const;

const [HEADS, QUERIES, KEYS, HEAD_DIM, BITS] = [2, 3, 12, 6, 8];
const SHAPE: LearnedMapShape = {
  ...{ headDim: HEAD_DIM, bits: BITS, sharing: "head", heads: HEADS },
  map: { layers: 3, hidden: 10, dtype: "f32" },
};
const LAST_TOKENS = [4, 9, 20];

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

/** Similarities and logits of one head in f64, [query][key], of the keys in the query's middle. */
function pairsOf(params: HostParams, batch: Required<Batch>, relax: (x: number) => number) {
  const codesOf = (side: "query" | "key", head: number, { data }: HostTensor, row: number) => {
    const arrays = sideParams(params, side);
    const cut = (list: Float32Array) =>
      list.subarray(head * list.length / HEADS, (head + 1) * list.length / HEADS);
    const layers = [0, 2, 4].map((i) => ({ weights: cut(arrays[i]), bias: cut(arrays[i + 1]) }));
    return encodeReference(data.subarray(row * HEAD_DIM, (row + 1) * HEAD_DIM), layers).map(relax);
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
    return { query, pairs, mass: exponentials.map((each) => each / total) };
  });
}

const logistic = (x: number) => 1 / (1 + Math.exp(-x));
const sum = (numbers: readonly number[]) => numbers.reduce((a, b) => a + b, 0);
const mean = (numbers: readonly number[]) => sum(numbers) / numbers.length;

const PAPER = { relaxation: "tanh", slope: 1, alpha: 20, cutWidth: 0 } as const;
const BEST = { relaxation: "sign", slope: 4, alpha: 0, cutWidth: 2 } as const;

/** The paper's loss in f64. */
function paperLoss(params: HostParams, batch: Required<Batch>): number {
  const terms = pairsOf(params, batch, Math.tanh).flatMap(({ pairs }) =>
    pairs.map(({ similarity, label }) =>
      label === 1 ? -20 * Math.log(logistic(similarity)) : -Math.log(1 - logistic(similarity))
    )
  );
  return mean(terms);
}

async function lossOf(
  recipe: typeof PAPER | typeof BEST,
  phase: { kl: number; cut: number; bce: number },
  params: HostParams,
  batch: Batch,
): Promise<{ loss: number; gradient: Float32Array[] }> {
  const shapes = paramShapes(SHAPE);
  const [loss, gradient] = valueAndGrad((arrays: np.Array[]) =>
    batchLoss(recipe, { until: 1, ...phase }, arrays, batchToDevice(batch))
  )(params.map((data, i) => toDevice({ shape: shapes[i], data })));
  const arrays = gradient as np.Array[];
  return {
    loss: (await loss.data())[0],
    gradient: await Promise.all(arrays.map(async (each) => await each.data() as Float32Array)),
  };
}

Deno.test({
  name: "the paper's loss and its gradient are those of a plain f64 computation",
  ...JAX,
  fn: async () => {
    const batch = makeBatch();
    const params = initialParams(SHAPE, 3, 1);
    const { loss, gradient } = await lossOf(PAPER, { kl: 0, cut: 0, bce: 1 }, params, batch);
    // jax-js takes logarithms to 2e-5 on the CPU.
    assertAlmostEquals(loss, paperLoss(params, batch), 2e-4);
    for (const [list, at] of [[0, 5], [1, 3], [4, 70], [6, 9], [10, 100], [11, 15]]) {
      const [up, down] = [1e-3, -1e-3].map((step) => {
        const moved = params.map((data) => data.slice());
        moved[list][at] += step;
        return { loss: paperLoss(moved, batch), value: moved[list][at] };
      });
      const slope = (up.loss - down.loss) / (up.value - down.value);
      assertAlmostEquals(gradient[list][at], slope, 1e-4 + 1e-3 * Math.abs(slope));
    }
    assertEquals([...gradient[12]], [0, 0]);
  },
});

Deno.test({
  name: "cross-entropy and lost mass are those of a plain f64 computation",
  ...JAX,
  fn: async () => {
    const batch = makeBatch();
    const params = initialParams(SHAPE, 3, 0.3);
    const rows = pairsOf(params, batch, (x) => x > 0 ? 1 : -1);
    const kl = mean(rows.map(({ pairs, mass }) => {
      const exponentials = pairs.map(({ similarity }) => Math.exp(0.3 * similarity));
      const all = sum(exponentials);
      return -sum(mass.map((each, i) => each * Math.log(exponentials[i] / all)));
    }));
    const cut = mean(rows.map(({ pairs, mass, query }) => {
      const average = mean(pairs.map(({ similarity }) => similarity));
      const variance = mean(pairs.map(({ similarity }) => (similarity - average) ** 2));
      const at = average + Math.sqrt(variance) * batch.cuts.data[query];
      return -sum(mass.map((each, i) => each * logistic((pairs[i].similarity - at) / 2)));
    }));
    const both = await lossOf(BEST, { kl: 1, cut: 10, bce: 0 }, params, batch);
    assertAlmostEquals(both.loss, kl + 10 * cut, 1e-4);
    const one = await lossOf(BEST, { kl: 0, cut: 1, bce: 0 }, params, batch);
    assertAlmostEquals(one.loss, cut, 1e-5);
    assert(one.gradient.flatMap((list) => [...list]).every(Number.isFinite));
  },
});

Deno.test({
  name: "a sign is +1 above 0 and else -1, and has the gradient of tanh",
  ...JAX,
  fn: async () => {
    const x = [-3, -0.4, -1e-6, 0, 1e-6, 0.1, 2];
    const bits = await relaxedBits(np.array(x), "sign", 4).data();
    assertEquals([...bits].map(Math.round), [-1, -1, -1, -1, 1, 1, 1]);
    const weights = [1, 2, 3, 4, 5, 6, 7];
    const slopes = await grad((at: np.Array) =>
      np.sum(relaxedBits(at, "sign", 4).mul(np.array(weights)))
    )(np.array(x)).data();
    for (const [i, slope] of slopes.entries()) {
      assertAlmostEquals(slope, weights[i] * 4 * (1 - Math.tanh(4 * x[i]) ** 2), 1e-5);
    }
  },
});

Deno.test({
  name: "activations and their gradients stay finite far from 0",
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
