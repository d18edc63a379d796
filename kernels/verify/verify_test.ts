import { assert, assertEquals, assertRejects, assertStringIncludes } from "@std/assert";
import type { ReadBytes, Variant } from "../core/variant.ts";
import { verify } from "./verify.ts";
import { ErrorTally } from "./error_tally.ts";
import { LARGE_LIMITS } from "../core/device_limits.ts";
import { prefillReference } from "../prefill/reference.ts";
import { findVariant, VARIANTS } from "../core/registry.ts";
import type { Inputs } from "../../testing/inputs/input_options.ts";
import { makeInputs } from "../../testing/inputs/inputs.ts";
import { testCase } from "../../testing/cases/grid.ts";

const { p, options } = testCase({ heads: [4, 2], lengths: [30, 9], capacity: 32, windows: [2, 3] });
const PARAMS = { BLOCK: 512, SPLITS: 1, WORKGROUP: 64, COPIES: 1, TOKENS: 16 };

/** The buffers of all stages, filled from the references. */
function allBuffers(): Record<string, Uint8Array<ArrayBuffer>> {
  const inputNames = ["lengths", "q", "keys", "values", "query_map", "key_map", "sink_logits"];
  const stageNames = ["query_codes", "codes", "distances", "block_histograms", "selected"];
  const buffers = Object.fromEntries(
    [...inputNames, ...stageNames, "selected_counts", "partial_out", "partial_stats"].map(
      (name) => [name, { bytes: 0, role: "input" as const }],
    ),
  );
  const variant: Variant = {
    ...variantOf("score"),
    plan: () => ({ buffers, dispatches: [] }),
  };
  const inputs: Inputs = makeInputs(variant, p, PARAMS, options);
  return Object.fromEntries(
    Object.entries(inputs).map(([name, { buffer }]) => [name, new Uint8Array(buffer)]),
  );
}

function variantOf(stage: string): Variant {
  return VARIANTS.find((variant) => variant.stage === stage)!;
}

function readerOf(buffers: Record<string, Uint8Array<ArrayBuffer>>): ReadBytes {
  return (name, offset, length) => {
    if (!buffers[name]) throw new Error(`${name} must not be read`);
    return Promise.resolve(buffers[name].subarray(offset, offset + length));
  };
}

/** Verifies the references' own results, with only the named buffers, after `spoil`. */
function verified(
  stage: string,
  names: readonly string[],
  spoil: (buffers: Record<string, Uint8Array<ArrayBuffer>>) => void = () => {},
) {
  const all = allBuffers();
  const buffers = Object.fromEntries(names.map((name) => [name, all[name]]));
  spoil(buffers);
  return verify(variantOf(stage), p, PARAMS, readerOf(buffers));
}

const SCORE = ["lengths", "query_codes", "codes", "distances", "block_histograms"];
const SELECT = ["lengths", "distances", "selected", "selected_counts"];

Deno.test("verify() accepts right results and reads no other buffers", async () => {
  const score = await verified("score", SCORE);
  assertEquals([score.ok, score.relL2, score.worst], [true, 0, null]);
  const select = await verified("select", SELECT);
  assertEquals([select.ok, select.relL2, select.worst], [true, 0, null]);
  assertStringIncludes(select.checked, "select: 4 of 4 lists, 2 of 2 sequences");
});

Deno.test("verify() names one wrong distance", async () => {
  const checkResult = await verified(
    "score",
    SCORE,
    ({ distances }) => distances[p.capacity + 7]++,
  );
  assert(!checkResult.ok);
  assertEquals(checkResult.worst!.what, "distances");
  assertEquals(checkResult.worst!.index, [0, 1, 7]);
  assertEquals(checkResult.worst!.got, checkResult.worst!.want + 1);
});

Deno.test("verify() names one wrong count of a histogram", async () => {
  const { ok, worst } = await verified("score", SCORE, (buffers) => buffers.block_histograms[0]++);
  assertEquals([ok, worst?.what, worst?.index], [false, "block_histograms", [0, 0, 0, 0]]);
});

Deno.test("verify() ignores tokens past a sequence's end", async () => {
  const { ok } = await verified("score", SCORE, ({ distances }) => distances[30] = 3);
  assert(ok);
});

Deno.test("verify() accepts a selection in any order, but no token twice", async () => {
  const swap = (words: Uint32Array) => [words[0], words[1]] = [words[1], words[0]];
  const reordered = await verified(
    "select",
    SELECT,
    ({ selected }) => swap(new Uint32Array(selected.buffer)),
  );
  assert(reordered.ok);
  const twice = await verified("select", SELECT, ({ selected }) => selected.copyWithin(0, 4, 8));
  assertEquals([twice.ok, twice.worst?.what], [false, "selected, sorted"]);
  const short = await verified("select", SELECT, (buffers) => buffers.selected_counts[4]--);
  assertEquals([short.ok, short.worst?.what], [false, "selected_counts"]);
  assertEquals(short.worst?.index, [0, 1, 0]);
});

Deno.test("verify() with a scope does not read the rest", async () => {
  const buffers = allBuffers();
  buffers.distances.fill(0xff, 2 * p.capacity);
  const variant = variantOf("score");
  const scope = { heads: [1], sequences: [0] };
  const { ok, checked } = await verify(variant, p, PARAMS, readerOf(buffers), scope);
  assert(ok);
  assertStringIncludes(checked, "1 of 4 lists, 1 of 2 sequences");
  assert(!(await verify(variant, p, PARAMS, readerOf(buffers))).ok);
});

const DOT_PARAMS = { WORKGROUP: 64, LANES: 8, TOKENS: 1 };

/** Verifies exact scores in f32 after `spoil`. */
function verifiedScores(spoil: (scores: Float32Array) => void) {
  const dot = findVariant("score/dot");
  const inputs = makeInputs(dot, p, DOT_PARAMS, options);
  const [q, keys] = [inputs.q as Float32Array, new Float16Array(inputs.keys.buffer)];
  const scores = Float32Array.from({ length: p.batch * p.qHeads * p.capacity }, (_, i) => {
    const [row, token] = [Math.floor(i / p.capacity), i % p.capacity];
    const key = (Math.floor(row / 2) * p.capacity + token) * p.headDim;
    return q.subarray(row * p.headDim, (row + 1) * p.headDim)
      .reduce((sum, each, d) => sum + each * keys[key + d], 0);
  });
  spoil(scores);
  const bytes = { ...inputs, scores };
  const buffers = Object.fromEntries(
    Object.entries(bytes).map(([name, { buffer }]) => [name, new Uint8Array(buffer)]),
  );
  return verify(dot, p, DOT_PARAMS, readerOf(buffers));
}

Deno.test("verify() accepts scores up to rounding, and names one beyond", async () => {
  assert((await verifiedScores(() => {})).ok);
  const near = await verifiedScores((scores) => scores[3] *= 1 + 1e-7);
  assert(near.ok);
  for (const wrong of [1.001, NaN, Infinity]) {
    const { ok, worst } = await verifiedScores((scores) => scores[p.capacity + 7] *= wrong);
    assertEquals([ok, worst?.what, worst?.index], [false, "scores", [0, 1, 7]]);
  }
});

Deno.test("verify() refuses a stage without a reference", async () => {
  const variant: Variant = { ...variantOf("score"), stage: "probe" };
  await assertRejects(() => verify(variant, p, PARAMS, readerOf({})), RangeError, "no reference");
});

Deno.test("ErrorTally.row() takes relative errors, per row and over all", () => {
  const tally = new ErrorTally();
  tally.row("out", [0], [300, 400], [300, 400.004]);
  tally.row("out", [1], [0, 0], [0, 0]);
  const { ok, relL2, worst } = tally.result("");
  assert(ok && relL2 > 7e-6 && relL2 < 9e-6);
  assertEquals([worst?.index, worst?.got, worst?.want], [[0, 1], 400, 400.004]);
});

Deno.test("ErrorTally.row() allows as much as a variant's precision says, and no more", () => {
  const isOk = (error: number, tally: ErrorTally) => {
    tally.row("out", [0], [1 + error], [1]);
    return tally.result("").ok;
  };
  const precision = { halfQueries: true, maxRelL2: 2e-3 };
  const found = [1e-3, 1.9e-3, 2.1e-3].map((error) => isOk(error, new ErrorTally(precision)));
  assertEquals(found, [true, true, false]);
  assertEquals([isOk(0.9e-5, new ErrorTally()), isOk(1.1e-5, new ErrorTally())], [true, false]);
});

Deno.test("verifyPrefill() rounds the queries of a variant that rounds them", async () => {
  const { p, options } = testCase({ heads: [1, 1], lengths: [3], capacity: 16, dtype: "f16" });
  const flash = VARIANTS.find(({ name }) => name === "prefill/flash")!;
  const inputs = makeInputs(flash, p, flash.defaults(p, LARGE_LIMITS), options);
  const q = new Float32Array(inputs.prompt_q.buffer);
  const [keys, values] = [inputs.keys, inputs.values].map(({ buffer }) => {
    const all = new Float32Array(new Float16Array(buffer));
    return (token: number) => all.subarray(token * p.headDim, (token + 1) * p.headDim);
  });
  const out = new Float32Array(q.length);
  for (let token = 0; token < 3; token++) {
    const at = token * p.headDim;
    const row = Float32Array.from(new Float16Array(q.slice(at, at + p.headDim)));
    const [sink] = new Float32Array(inputs.sink_logits.buffer);
    out.set(Float32Array.from(prefillReference(row, keys, values, token, sink)), at);
  }
  const read = readerOf(
    Object.fromEntries(
      Object.entries({ ...inputs, prompt_out: out }).map(([name, { buffer }]) => [
        name,
        new Uint8Array(buffer as ArrayBuffer),
      ]),
    ),
  );
  const isRight = async (halfQueries: boolean) => {
    const variant = { ...flash, precision: { halfQueries, maxRelL2: 1e-5 } };
    return (await verify(variant, p, flash.defaults(p, LARGE_LIMITS), read)).ok;
  };
  assertEquals([await isRight(true), await isRight(false)], [true, false]);
});

Deno.test("ErrorTally.row() finds a wrong row beside a much larger one", () => {
  const tally = new ErrorTally();
  tally.row("out", [0], [1e9], [1e9]);
  tally.row("out", [1], [1e-3], [1.1e-3]);
  const { ok, relL2, worst } = tally.result("");
  assert(!ok && relL2 < 1e-12);
  assertEquals(worst?.index, [1, 0]);
});

for (const bad of [NaN, Infinity, -Infinity]) {
  Deno.test(`ErrorTally.row() names ${bad} as the worst element`, () => {
    const tally = new ErrorTally();
    tally.row("out", [0], [5, 5], [1, 1]);
    tally.row("out", [1], [9, 2, bad, 4], [1, 2, 3, 4]);
    tally.row("out", [2], [100], [1]);
    const { ok, worst } = tally.result("");
    assertEquals([ok, worst?.index, worst?.got], [false, [1, 2], bad]);
  });
}

Deno.test("ErrorTally.row() fails if the reference is 0 and the result is not", () => {
  const tally = new ErrorTally();
  tally.row("out", [0], [1e-30], [0]);
  assert(!tally.result("").ok);
});
