import { assertAlmostEquals, assertEquals, assertNotEquals } from "@std/assert";
import { prepareContexts } from "./contexts.ts";
import { normalExceededBy } from "./normal_quantile.ts";
import { RECIPES } from "../recipe.ts";
import { createSampler, type SamplerOptions } from "./sample.ts";
import { smallFile } from "../../testing_trace.ts";

const WINDOWS = { sink: 8, recent: 8 };
const PAPER = { ...RECIPES.paper, loss: { ...RECIPES.paper.loss, top: 10 }, queries: 5 };
const BEST = { ...RECIPES.best, joins: 0, queries: 5, keys: 100 };

function optionsFor(recipe: SamplerOptions["recipe"]): SamplerOptions {
  const contexts = prepareContexts([smallFile()], WINDOWS, recipe);
  return { contexts, windows: WINDOWS, recipe, seed: 3, ropeBase: 10000 };
}

/** Scaled logits of a batch's queries and keys, [head * query][key]. */
function logitsOf({ queries, keys }: ReturnType<ReturnType<typeof createSampler>>): number[][] {
  const dim = keys.shape[1];
  const rowsOf = (data: Float32Array) =>
    Array.from({ length: data.length / dim }, (_, i) => data.subarray(i * dim, (i + 1) * dim));
  return rowsOf(queries.data).map((query) =>
    rowsOf(keys.data).map((key) =>
      query.reduce((sum, x, d) => sum + x * key[d], 0) / Math.sqrt(dim)
    )
  );
}

Deno.test("createSampler() draws samples that depend on seed and step alone", () => {
  const options = optionsFor(BEST);
  const sample = createSampler(options);
  const [first] = [sample(4), sample(5)];
  assertEquals(createSampler(options)(4), first);
  assertNotEquals(sample(5), first);
  assertNotEquals(createSampler({ ...options, seed: 4 })(4), first);
});

Deno.test("createSampler() draws distinct middle tokens; its rotation keeps logits", () => {
  const options = optionsFor(BEST);
  const rotated = createSampler(options)(0);
  const plain = createSampler({ ...options, ropeBase: null })(0);
  assertEquals(new Set(rotated.tokens.data).size, 100);
  assertEquals(rotated.tokens, plain.tokens);
  assertNotEquals(rotated.keys, plain.keys);
  const logits = logitsOf(plain);
  for (const [row, list] of logitsOf(rotated).entries()) {
    for (const [key, logit] of list.entries()) assertAlmostEquals(logit, logits[row][key], 1e-4);
  }
  const { context } = smallFile().contexts.find(({ context }) =>
    plain.keys.data.subarray(0, 16).every((x, d) => x === context.k[plain.tokens.data[0] * 16 + d])
  )!;
  assertEquals(Math.min(...plain.tokens.data) >= 8, true);
  assertEquals(plain.keyWeight!.data[0], Math.fround((context.kvLen - 8) / 100));
});

Deno.test("createSampler() gives the log-sum-exp of the logits outside the middle as edges", () => {
  const recipe = { ...BEST, keys: null, ropeOffsets: 0 };
  const options = optionsFor(recipe);
  const [context] = options.contexts;
  const batch = createSampler({ ...options, contexts: [context], windows: WINDOWS })(0);
  // The edges and the middle together have the exponentials of all keys that the query attends.
  const logits = logitsOf(batch);
  const dim = context.headDim;
  for (const [row, middle] of logits.entries()) {
    const last = batch.lastTokens.data[row % 5];
    const query = batch.queries.data.subarray(row * dim, (row + 1) * dim);
    let all = 0;
    for (let token = 0; token <= last + 8; token++) {
      const key = context.k.subarray(token * dim, (token + 1) * dim);
      all += Math.exp(query.reduce((sum, x, d) => sum + x * key[d], 0) / Math.sqrt(dim));
    }
    const inMiddle = middle.reduce(
      (sum, logit, i) => sum + (batch.tokens.data[i] <= last ? Math.exp(logit) : 0),
      0,
    );
    const edge = Math.exp(batch.edges!.data[row]);
    assertAlmostEquals((edge + inMiddle) / all, 1, 1e-5);
  }
});

Deno.test("createSampler() joins two contexts, and queries keep the logits of their own", () => {
  const recipe = { ...BEST, joins: 1, keys: null };
  const options = optionsFor(recipe);
  const [first, second] = options.contexts.slice(0, 2);
  const two = { ...options, contexts: [first, second] };
  const batch = createSampler(two)(0);
  const alone = createSampler({ ...two, recipe: { ...recipe, joins: 0 }, ropeBase: null });
  const unturned = createSampler({ ...two, ropeBase: null })(0);
  const tokens = [...batch.tokens.data];
  const start = tokens.find((token, i) => token > tokens[i - 1] + 1)! - 8;
  assertEquals([first.kvLen, second.kvLen].includes(start), true);
  assertEquals(tokens.length, first.kvLen + second.kvLen - 16);
  assertEquals([...batch.lastTokens.data].every((last) => last >= start), true);
  // The keys of the queries' own context keep their logits under any rotation.
  const [turned, plain] = [logitsOf(batch), logitsOf(unturned)];
  for (const [row, list] of turned.entries()) {
    for (const [key, logit] of list.entries()) {
      if (tokens[key] >= start) assertAlmostEquals(logit, plain[row][key], 1e-4);
    }
  }
  // The budget counts the tokens of both contexts.
  const own = [...unturned.lastTokens.data].map((last) => last - start);
  const budget = Math.floor((first.kvLen + second.kvLen) / 32);
  for (const [i, last] of own.entries()) {
    const valid = tokens.filter((token) => token <= last + start).length;
    assertAlmostEquals(batch.cuts!.data[i], normalExceededBy(Math.min(0.6, budget / valid)), 1e-5);
  }
  assertEquals(alone(0).lastTokens.data.every((last) => last < start), true);
});

Deno.test("createSampler() labels the exact top keys of each query's middle for paper", () => {
  const batch = createSampler(optionsFor(PAPER))(2);
  assertEquals(batch.tokens.data.length, 320 - 8);
  for (const [row, logits] of logitsOf(batch).entries()) {
    const last = batch.lastTokens.data[row % 5];
    const middle = logits.map((logit, i) => ({ logit, i }))
      .filter(({ i }) => batch.tokens.data[i] <= last);
    const top = middle.sort((a, b) => b.logit - a.logit).slice(0, 10).map(({ i }) => i);
    const labels = batch.labels!.data.subarray(row * 312, (row + 1) * 312);
    assertEquals([...labels.keys()].filter((i) => labels[i] === 1), top.sort((a, b) => a - b));
  }
});

Deno.test("createSampler() puts the budget's share of the sampled keys above the cut", () => {
  const batch = createSampler(optionsFor({ ...BEST, keys: null }))(0);
  for (const [i, last] of batch.lastTokens.data.entries()) {
    const share = Math.min(0.6, 10 / (last - 7));
    assertAlmostEquals(batch.cuts!.data[i], normalExceededBy(share), 1e-5);
  }
});

Deno.test("normalExceededBy() gives the quantiles of published tables", () => {
  const table = [[0.5, 0], [0.6, -0.2533471], [0.025, 1.9599640], [0.001, 3.0902323]];
  for (const [share, quantile] of [...table, [1e-6, 4.7534243]]) {
    assertAlmostEquals(normalExceededBy(share), quantile, 2e-6);
  }
});
