import { assert, assertEquals } from "@std/assert";
import { packKv } from "../../fixtures/half.ts";
import { openTestDevice, runVariant } from "../../testing/device/test_device.ts";
import type { Inputs } from "../../testing/inputs/input_options.ts";
import { makeInputs } from "../../testing/inputs/inputs.ts";
import { pqVariantsOf, testSetting, testStage } from "../../testing/cases/suite.ts";
import { pqGridOf, type TestCase, testCase } from "../../testing/cases/grid.ts";
import type { Params } from "../core/problem/constants.ts";
import type { Variant } from "../core/variant.ts";
import { verify } from "../verify/verify.ts";
import {
  centroidPlace,
  CENTROIDS,
  codePlace,
  meansReference,
  nearnessReference,
  PQ_PARTS,
  pqScoresReference,
  startToken,
} from "./pq.ts";
import { pqPrompt, pqTrain } from "./pq_prompt.ts";
import { pqAppend } from "./pq_token.ts";

const testDevice = await openTestDevice();
const small = testCase({ heads: [2, 2], headDim: 64, lengths: [37, 90] });
const zeros = testCase({ heads: [4, 1], headDim: 64, lengths: [300], kind: "zero-rows" });

testStage("encode_append", testDevice, small, {
  "one token": testCase({ heads: [4, 1], lengths: [1] }),
  "a full cache of the longest rows": testCase({ heads: [2, 1], headDim: 256, lengths: [272] }),
  "zero queries and keys": zeros,
}, { variants: pqVariantsOf("encode_append"), grid: pqGridOf("encode_append") });

// The kernels of other numbers of parts are the same: see the tests below.
testStage("encode_prompt", testDevice, small, {
  "one token": testCase({ heads: [4, 1], headDim: 64, lengths: [1] }),
  "zero queries and keys": zeros,
}, { variants: [pqTrain.get(8)!], grid: pqGridOf("encode_prompt") });

for (const parts of PQ_PARTS) {
  const test = testCase({ heads: [4, 1], headDim: 64, lengths: [601, 40] }, { seed: parts });
  testSetting(
    testDevice,
    pqPrompt.get(parts)!,
    "equals the reference where centroids are equal",
    test,
    {},
  );
  testSetting(testDevice, pqTrain.get(parts)!, "equals the reference after one iteration", test, {
    ITERATIONS: 1,
  });
}

testSetting(
  testDevice,
  pqTrain.get(4)!,
  "several chunks, and more tokens than centroids",
  testCase({ heads: [1, 1], headDim: 64, lengths: [1300, 700] }),
  { ITERATIONS: 2, CHUNK: 512 },
);

testSetting(
  testDevice,
  pqTrain.get(4)!,
  "a cache that its chunks fill",
  testCase({ heads: [2, 2], headDim: 64, lengths: [600], capacity: 1024 }),
  { ITERATIONS: 1, CHUNK: 512 },
);

testSetting(
  testDevice,
  pqTrain.get(2)!,
  "wide parts of bf16 keys, four tokens per thread",
  testCase({ heads: [2, 1], headDim: 96, lengths: [131, 64], dtype: "bf16" }),
  { ITERATIONS: 2, TOKENS: 4, WORKGROUP: 32 },
);

/** Runs a variant on keys of the caller's, and verifies it. */
async function assertOnKeys(
  variant: Variant,
  test: TestCase,
  own: Params,
  keyOf: (token: number, d: number) => number,
): Promise<(name: string) => Promise<Uint8Array>> {
  const { p, options } = test;
  const params = { ...variant.defaults(p, testDevice.limits), ...own };
  const inputs = makeInputs(variant, p, params, options);
  const keys = Float64Array.from(
    { length: p.batch * p.kvHeads * p.capacity * p.headDim },
    (_, i) => keyOf(Math.floor(i / p.headDim) % p.capacity, i % p.headDim),
  );
  const changed: Inputs = { ...inputs, keys: packKv(keys, p.dtype) };
  const read = await runVariant(testDevice, variant, p, params, changed);
  const { ok, worst } = await verify(variant, p, params, read);
  assert(ok, JSON.stringify(worst));
  const { buffers } = variant.plan(p, params);
  return (name) => read(name, 0, buffers[name].bytes);
}

/** A number that looks random, from -1 to 1. */
const noise = (token: number, d: number) => Math.sin(token * 12.9 + d * 78.2 + token * d);

const KEYS: Readonly<Record<string, (token: number, d: number) => number>> = {
  "all keys equal": (_, d) => noise(1, d),
  "two keys": (token, d) => noise(token % 2, d),
  "keys on a line at equal distances": (token) => token % 16,
  "a huge element": (token, d) => d === 5 ? 6e4 : noise(token, d),
  "one huge key": (token, d) => token === 77 ? 6e4 : noise(token, d),
  "a key that is NaN": (token, d) => token === 77 && d === 5 ? NaN : noise(token, d),
  "a key that is infinite": (token, d) => token === 77 && d === 5 ? Infinity : noise(token, d),
  "all keys NaN": () => NaN,
};

const one = testCase({ heads: [2, 1], headDim: 64, lengths: [290], capacity: 304 });
const wide = { ...one, p: { ...one.p, dtype: "f32" } } as const;

for (const [name, keyOf] of Object.entries(KEYS)) {
  Deno.test(`encode/pq_train_8: ${name}`, async () => {
    await assertOnKeys(pqTrain.get(8)!, one, { ITERATIONS: 3 }, keyOf);
  });
}

Deno.test("encode/pq_train_8: keys whose squares leave f32", async () => {
  await assertOnKeys(
    pqTrain.get(8)!,
    wide,
    { ITERATIONS: 3 },
    (token, d) => (d < 8 ? 1e25 : 1) * noise(token, d),
  );
});

Deno.test("encode/pq_train_8: a key that is NaN leaves the other keys and parts as they are", async () => {
  const codesOf = async (keyOf: (token: number, d: number) => number) =>
    await (await assertOnKeys(pqTrain.get(8)!, one, { ITERATIONS: 2 }, keyOf))("pq_codes_8");
  const [codes, without] = await Promise.all([codesOf(KEYS["a key that is NaN"]), codesOf(noise)]);
  const { capacity } = one.p;
  for (let token = 0; token < 290; token++) {
    for (let part = 1; part < 8; part++) {
      const at = codePlace(part, token, 8, capacity);
      assertEquals(codes[at], without[at], `part ${part} of token ${token}`);
    }
  }
  assertEquals(codes[codePlace(0, 77, 8, capacity)], 0);
  const others = codes.filter((code, at) => at % 4 === 0 && at < 4 * 290 && code === 0);
  assertEquals(others.length, 1, "only the key that is NaN has the centroid that is NaN");
});

Deno.test("encode/pq_train_8: two runs give the same bytes", async () => {
  const run = async () => {
    const read = await assertOnKeys(pqTrain.get(8)!, one, { ITERATIONS: 4 }, noise);
    return await Promise.all([read("centroids_8"), read("pq_codes_8")]);
  };
  const [first, second] = [await run(), await run()];
  assertEquals(first, second);
});

Deno.test("encode/pq_train: takes ten iterations of the same seed by default", () => {
  for (const variant of pqTrain.values()) {
    const { ITERATIONS, SEED } = variant.defaults(one.p, testDevice.limits);
    assertEquals([ITERATIONS, SEED], [10, 1]);
  }
});

Deno.test("encode/pq_train_8: refuses what it cannot do", () => {
  const { p } = one;
  const variant = pqTrain.get(8)!;
  const params = variant.defaults(p, testDevice.limits);
  const refuses = (own: Params) => variant.refuses(p, { ...params, ...own }, testDevice.limits);
  assertEquals(refuses({ ITERATIONS: 0 }), "ITERATIONS must be from 1 to 100, got 0");
  assertEquals(refuses({ COLUMNS: 16 }), "16 columns do not divide parts of 8 elements");
  const odd = { ...p, headDim: 96 };
  const sixteen = pqTrain.get(16)!;
  assertEquals(
    sixteen.refuses(odd, sixteen.defaults(odd, testDevice.limits), testDevice.limits),
    "16 parts of 96 elements would not be of whole quads",
  );
});

for (const parts of PQ_PARTS) {
  for (const length of [37, 38]) {
    testSetting(
      testDevice,
      pqAppend.get(parts)!,
      `older codes stay as they are at length ${length}`,
      testCase({ heads: [2, 1], headDim: 64, lengths: [length] }),
      {},
    );
  }
}

for (const variant of [pqPrompt.get(8)!, pqAppend.get(8)!]) {
  Deno.test(`${variant.name}: of equally near centroids the first, and each element by itself`, async () => {
    const { p, options } = testCase({ heads: [2, 1], headDim: 64, lengths: [5], dtype: "bf16" });
    const params = variant.defaults(p, testDevice.limits);
    const inputs = makeInputs(variant, p, params, options);
    // Only the second element of a part counts. The first one's lowest bit must not count with it.
    const keys = Float64Array.from(
      { length: p.capacity * p.headDim },
      (_, i) => [1 + 2 ** -7, 1][i % 8] ?? 0,
    );
    const centroids = new Float32Array(CENTROIDS * p.headDim);
    for (let part = 0; part < 8; part++) {
      for (let c = 0; c < CENTROIDS; c++) centroids[centroidPlace(8 * part + 1, c)] = -8;
      // 0.5 and 1.5 are as near to 1, for the same thread and for others.
      [[part, 0.5], [part + 5, 1.5], [part + 64, 1.5], [part + 128, 0.5]].forEach(([c, value]) =>
        centroids[centroidPlace(8 * part + 1, c)] = value
      );
    }
    const given: Inputs = { ...inputs, keys: packKv(keys, "bf16"), centroids_8: centroids };
    const read = await runVariant(testDevice, variant, p, params, given);
    const codes = await read("pq_codes_8", 0, p.capacity * 8);
    const newest = [0, 1, 2, 3, 4, 5, 6, 7].map((part) => codes[codePlace(part, 4, 8, p.capacity)]);
    assertEquals(newest, [0, 1, 2, 3, 4, 5, 6, 7]);
  });
}

Deno.test("nearnessReference() orders centroids by their distance", () => {
  const key = [1, 2, 3, 4, 5, 6, 7, 8];
  const centroids = new Float64Array(CENTROIDS * 8);
  for (let c = 0; c < CENTROIDS; c++) {
    for (let d = 0; d < 8; d++) centroids[centroidPlace(d, c)] = noise(c, d);
  }
  const { near } = nearnessReference(key, centroids, 1, 2);
  const distance = (c: number) =>
    [4, 5, 6, 7].reduce((sum, d) => sum + (key[d] - centroids[centroidPlace(d, c)]) ** 2, 0);
  const norm = 5 ** 2 + 6 ** 2 + 7 ** 2 + 8 ** 2;
  for (let c = 0; c < CENTROIDS; c++) {
    assert(Math.abs(norm - 2 * near[c] - distance(c)) < 1e-9, `centroid ${c}`);
  }
});

Deno.test("meansReference() keeps a centroid without keys", () => {
  const old = new Float64Array(CENTROIDS * 8).fill(7);
  const codes = new Uint8Array(2 * 16);
  codes.set([3, 9, 3, 8], 0); // two tokens of two parts
  const rows = [[1, 2, 3, 4, 5, 6, 7, 8], [3, 4, 5, 6, 0, 0, 0, 0]];
  const shape = { tokens: 2, parts: 2, capacity: 16 };
  const { means, counts } = meansReference(
    (token) => Float32Array.from(rows[token]),
    codes,
    old,
    shape,
  );
  assertEquals([0, 1, 2, 3].map((d) => means[centroidPlace(d, 3)]), [2, 3, 4, 5]);
  assertEquals([4, 5, 6, 7].map((d) => means[centroidPlace(d, 9)]), [5, 6, 7, 8]);
  assertEquals(means[centroidPlace(0, 0)], 7);
  assertEquals([counts[3], counts[CENTROIDS + 9], counts[CENTROIDS + 8], counts[0]], [2, 1, 1, 0]);
});

Deno.test("pqScoresReference() is the dot product with the key that the codes stand for", () => {
  const q = [1, -2, 3, 0.5, 4, 5, -6, 7];
  const centroids = Float64Array.from({ length: CENTROIDS * 8 }, (_, i) => noise(i, 1));
  const codes = new Uint8Array(2 * 16).fill(200);
  codes[1] = 17;
  const shape = { tokens: 1, parts: 2, capacity: 16 };
  const { scores } = pqScoresReference(q, centroids, codes, shape);
  const key = q.map((_, d) => centroids[centroidPlace(d, d < 4 ? 200 : 17)]);
  const want = q.reduce((sum, each, d) => sum + each * key[d], 0);
  assert(Math.abs(scores[0] - want) < 1e-9);
});

Deno.test("startToken() gives each centroid a token of its own stretch", () => {
  for (const length of [1, 100, 256, 257, 5000]) {
    const tokens = Array.from({ length: CENTROIDS }, (_, c) => startToken(c, length, 1));
    assert(tokens.every((token, c) => token < length && (c === 0 || token >= tokens[c - 1])));
    if (length >= CENTROIDS) assertEquals(new Set(tokens).size, CENTROIDS);
  }
  assert(startToken(9, 1e6, 1) !== startToken(9, 1e6, 2));
});
