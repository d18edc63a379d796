import { assertAlmostEquals, assertEquals } from "@std/assert";
import { grad, numpy as np } from "@jax-js/jax";
import { createRandom } from "../../../../fixtures/random.ts";
import { signsOf, similarityOf } from "./similarity.ts";

/** jax-js keeps its worker threads for the next test. */
const JAX = { sanitizeOps: false, sanitizeResources: false } as const;

const [HEADS, QUERIES, KEYS, BITS] = [2, 3, 4, 8];
const SLOPE = 2;
const RECIPE = { slope: SLOPE, keySigns: "straight-through" } as const;
/** A query's weights end at this many root mean squares with 2 planes. */
const CLIP = 1.8;

function normals(seed: number, count: number): Float32Array<ArrayBuffer> {
  const random = createRandom(seed);
  return Float32Array.from({ length: count }, () => random.normal());
}

/** The loss of the tests: similarities weighted by some numbers, in f64. */
function plainSum(
  query: ArrayLike<number>,
  key: (index: number) => number,
  maps: number,
  factors: ArrayLike<number>,
): number {
  let sum = 0;
  for (let row = 0; row < HEADS * QUERIES; row++) {
    const outputs = Array.from({ length: BITS }, (_, j) => Math.tanh(query[row * BITS + j]));
    const rms = Math.sqrt(outputs.reduce((total, y) => total + y * y, 0) / BITS);
    const map = maps === 1 ? 0 : Math.floor(row / QUERIES);
    for (let i = 0; i < KEYS; i++) {
      for (const [j, y] of outputs.entries()) {
        const weight = Math.max(-CLIP, Math.min(CLIP, y / rms));
        sum += factors[row * KEYS + i] * weight * key((map * KEYS + i) * BITS + j);
      }
    }
  }
  return sum;
}

const sign = (x: number) => x > 0 ? 1 : -1;

for (const maps of [HEADS, 1]) {
  Deno.test({
    name: `similarityOf() with planes and its gradients equal a plain computation: ${maps} maps`,
    ...JAX,
    fn: async () => {
      const query = normals(1, HEADS * QUERIES * BITS);
      const key = normals(2, maps * KEYS * BITS);
      const factors = normals(3, HEADS * QUERIES * KEYS);
      const shapes = [[HEADS, QUERIES, BITS], [maps, KEYS, BITS], [HEADS, QUERIES, KEYS]];
      const [q, k, w] = [query, key, factors].map((data, i) =>
        np.array(data, { shape: shapes[i] })
      );
      const sumOf = (queries: np.Array, keys: np.Array) =>
        np.sum(similarityOf({ ...RECIPE, planes: 2 }, queries, keys).mul(w.ref));
      const keySign = (i: number) => sign(key[i]);
      const value = (await sumOf(q.ref, k.ref).data())[0];
      assertAlmostEquals(value, plainSum(query, keySign, maps, factors), 1e-4);

      const byQuery = await grad((x: np.Array) => sumOf(x, k.ref))(q.ref).data();
      const byKey = await grad((x: np.Array) => sumOf(q.ref, x))(k.ref).data();
      const step = 1e-5;
      for (let i = 0; i < query.length; i++) {
        const [up, down] = [step, -step].map((d) => {
          const moved = Float64Array.from(query);
          moved[i] += d;
          return plainSum(moved, keySign, maps, factors);
        });
        assertAlmostEquals(byQuery[i], (up - down) / (2 * step), 1e-3);
      }
      // Signs have no slope, so a key moves as the tanh that stands for it.
      for (let i = 0; i < key.length; i++) {
        const [up, down] = [step, -step].map((d) =>
          plainSum(
            query,
            (at) => at === i ? Math.tanh(SLOPE * (key[at] + d)) : keySign(at),
            maps,
            factors,
          )
        );
        assertAlmostEquals(byKey[i], (up - down) / (2 * step), 1e-3);
      }
    },
  });
}

Deno.test({
  name: "similarityOf() without planes takes tanh for the bits of queries and keys",
  ...JAX,
  fn: async () => {
    const [query, key] = [Float32Array.of(0.3, -0.2), Float32Array.of(0.1, 0.9)];
    const [q, k] = [query, key].map((data) => np.array(data, { shape: [1, 1, 2] }));
    const [similarity] = await similarityOf({ ...RECIPE, planes: 0 }, q, k).data();
    const want = Math.tanh(0.6) * Math.tanh(0.2) - Math.tanh(0.4) * Math.tanh(1.8);
    assertAlmostEquals(similarity, want, 1e-6);
  },
});

Deno.test({
  name: "similarityOf() with planes and soft signs weighs tanh by the query",
  ...JAX,
  fn: async () => {
    const [query, key] = [Float32Array.of(0.3, -0.2), Float32Array.of(0.1, 0.9)];
    const [q, k] = [query, key].map((data) => np.array(data, { shape: [1, 1, 2] }));
    const soft = { slope: SLOPE, keySigns: "soft", planes: 2 } as const;
    const [similarity] = await similarityOf(soft, q, k).data();
    const [a, b] = [Math.tanh(0.3), Math.tanh(0.2)];
    const rms = Math.sqrt((a * a + b * b) / 2);
    assertAlmostEquals(similarity, (a * Math.tanh(0.2) - b * Math.tanh(1.8)) / rms, 1e-6);
  },
});

Deno.test({
  name: "signsOf() gives signs, -1 for 0, and stays finite far from 0",
  ...JAX,
  fn: async () => {
    const x = [-300, -0.5, 0, 1e-6, 2];
    const values = await signsOf(np.array(x), SLOPE).data();
    assertEquals(Array.from(values, (value) => Math.round(value * 1e6) / 1e6), [-1, -1, -1, 1, 1]);
    const slopes = await grad((at: np.Array) => np.sum(signsOf(at, SLOPE)))(np.array(x)).data();
    for (const [i, at] of x.entries()) {
      assertAlmostEquals(slopes[i], SLOPE * (1 - Math.tanh(SLOPE * at) ** 2), 1e-5);
    }
  },
});
