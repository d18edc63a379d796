import { rivalsOf, testStage } from "../../testing/cases/suite.ts";
import { rivalGridOf, testCase } from "../../testing/cases/grid.ts";
import { assert, assertEquals } from "@std/assert";
import { openTestDevice, runVariant } from "../../testing/device/test_device.ts";
import { makeInputs } from "../../testing/inputs/inputs.ts";
import { verify } from "../verify/verify.ts";
import { packedLabelsPrompt, sharedLabelsPrompt } from "./labels.ts";
import { boundsOfPages } from "../../testing/inputs/page_inputs.ts";
import { pageBounds, pageBoundsPrompt } from "./page_bounds.ts";

const testDevice = await openTestDevice();
const small = testCase({ heads: [8, 2], lengths: [37, 90] });
const corners = {
  "one token": testCase({ heads: [4, 1], lengths: [1] }),
  "the first token of a page": testCase({ heads: [4, 1], lengths: [17, 33] }),
  "the last token of a page, and a full cache": testCase({ heads: [4, 1], lengths: [272, 16] }),
  "the longest rows": testCase({ heads: [4, 1], headDim: 256, dtype: "f32", lengths: [40] }),
  "as many pages as their rows have room for": testCase({
    heads: [4, 2],
    lengths: [512, 40],
    capacity: 512,
  }),
};

/** Element `i` of keys that are hard to label. */
const LABELLED: Readonly<Record<string, (i: number, headDim: number) => number>> = {
  "elements beyond f16": (i) => 1e6 * Math.sin(i * i),
  "one element beyond f16": (i, headDim) => i % headDim === 7 ? -1e9 : Math.sin(i * i),
  "labels without a range": (i, headDim) => Math.floor(i / headDim) - 18.5,
  "a range far from zero": (i) => 1000 + Math.sin(i * i),
  "a range that f16 holds no step of": (i) => 1 + 1e-8 * Math.sin(i * i),
};

Deno.test("encode/page_bounds_prompt: NaN is beyond infinity, and -0 below 0", async () => {
  const { p, options } = testCase({ heads: [2, 1], lengths: [37], dtype: "f32" });
  const params = pageBoundsPrompt.defaults(p, testDevice.limits);
  const inputs = makeInputs(pageBoundsPrompt, p, params, options);
  const keys = new Float32Array(inputs.keys.buffer.slice(0));
  const column = [0, -0, NaN, Infinity, -Infinity, -3, 1e-40, -1e-40, 5];
  column.forEach((value, token) => keys[token * p.headDim] = value);
  // Of all NaNs the one with the largest bits lies next to the negative elements.
  new Uint32Array(keys.buffer)[5 * p.headDim + 1] = 0x7fffffff;
  [0, -0].forEach((value, i) =>
    keys.fill(value, (16 + 8 * i) * p.headDim, (24 + 8 * i) * p.headDim)
  );
  const read = await runVariant(testDevice, pageBoundsPrompt, p, params, { ...inputs, keys });
  const { ok, worst } = await verify(pageBoundsPrompt, p, params, read);
  assert(ok, JSON.stringify(worst));
  const rows = new Float32Array((await read("page_bounds", 0, 4 * 4 * p.headDim)).slice().buffer);
  assertEquals([rows[0], rows[p.headDim], rows[p.headDim + 1]], [-Infinity, NaN, NaN]);
  const second = rows.subarray(2 * p.headDim);
  assert(Object.is(second[0], -0) && Object.is(second[p.headDim], 0));
});

for (const variant of [pageBounds, pageBoundsPrompt]) {
  Deno.test(`${variant.name}: tells elements one bit apart`, async () => {
    const { p, options } = testCase({ heads: [2, 1], lengths: [38], dtype: "f32" });
    const params = variant.defaults(p, testDevice.limits);
    const inputs = makeInputs(variant, p, params, options);
    const bits = Uint32Array.from(
      { length: inputs.keys.byteLength / 4 },
      (_, i) => (i % 2) * 2 ** 31 + 0x40490fda + (i >> 1) % 3 + Math.floor(i / p.headDim) % 2,
    );
    const keys = new Float32Array(bits.buffer);
    const known = boundsOfPages(p, keys, options.lengths.map((length) => length - 1));
    const own = { ...inputs, keys, ...("page_bounds" in inputs ? { page_bounds: known } : {}) };
    const read = await runVariant(testDevice, variant, p, params, own);
    const { ok, worst } = await verify(variant, p, params, read);
    assert(ok, JSON.stringify(worst));
  });
}

for (const variant of [sharedLabelsPrompt, packedLabelsPrompt]) {
  for (const [name, keyOf] of Object.entries(LABELLED)) {
    Deno.test(`${variant.name}: ${name}`, async () => {
      const { p, options } = testCase({ heads: [2, 1], lengths: [37], dtype: "f32" });
      const params = variant.defaults(p, testDevice.limits);
      const inputs = makeInputs(variant, p, params, options);
      const numbers = inputs.keys.byteLength / 4;
      const keys = Float32Array.from({ length: numbers }, (_, i) => keyOf(i, p.headDim));
      const read = await runVariant(testDevice, variant, p, params, { ...inputs, keys });
      const { ok, worst } = await verify(variant, p, params, read);
      assert(ok, JSON.stringify(worst));
    });
  }
}

for (const stage of ["encode_append", "encode_prompt"] as const) {
  testStage(stage, testDevice, small, corners, {
    variants: rivalsOf(stage),
    grid: rivalGridOf(stage),
  });
}
