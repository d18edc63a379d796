import { assert, assertEquals } from "@std/assert";
import { INDEX } from "../core/system_layout.ts";
import type { Variant } from "../core/variant.ts";
import { canRun, openTestDevice, runVariant } from "../../testing/device/test_device.ts";
import { makeInputs } from "../../testing/inputs/inputs.ts";
import { verify } from "../verify/verify.ts";
import { index, indexUnpacked } from "./index.ts";
import { headLabelStep, packedLabelStep, sharedLabelStep } from "./labels.ts";
import { pages, pagesAppend } from "./pages.ts";
import { byteRowReference } from "./reference.ts";
import { assertCorrect, rivalsOf, testStage } from "../../testing/cases/suite.ts";
import { boundsOfPages } from "../../testing/inputs/page_inputs.ts";
import { rivalGridOf, testCase } from "../../testing/cases/grid.ts";

const testDevice = await openTestDevice();

testStage("score", testDevice, testCase({ heads: [8, 2], lengths: [600, 37], capacity: 1040 }), {
  "one token": testCase({ heads: [4, 1], lengths: [1] }),
  "the largest group of exact scores": testCase({ heads: [16, 1], headDim: 128, lengths: [97] }),
  "the largest group": testCase({ heads: [64, 1], lengths: [97] }),
  "a full cache": testCase({ heads: [4, 2], lengths: [512, 40], capacity: 512 }),
}, { variants: rivalsOf("score"), grid: rivalGridOf("score") });

const steps = {
  "score/pages: the newest token enters its page's bounds": pagesAppend,
  "score/labels: the newest token gets its label": sharedLabelStep,
  "score/head_labels: the newest token gets its label": headLabelStep,
  "score/packed_labels: the newest token gets its label": packedLabelStep,
};

for (const [name, step] of Object.entries(steps)) {
  // The scores of a step that adds the newest token, and what it adds, are verified one by one.
  const adds: Variant = { ...step, stage: "encode_append" };
  const kinds = ["normal", "outliers", "zero-rows"] as const;
  const cases = kinds.map((kind, i) =>
    testCase({
      heads: [6, 2],
      dtype: (["f16", "bf16", "f32"] as const)[i],
      lengths: [[128, 1, 17], [511, 512, 513], [257, 32, 5]][i],
      kind,
    })
  );
  Deno.test(name, async () => {
    for (const test of cases) {
      const params = step.defaults(test.p, testDevice.limits);
      assertEquals(step.refuses(test.p, params, testDevice.limits), undefined);
      await assertCorrect(testDevice, adds, test, params);
      const inputs = makeInputs(adds, test.p, params, test.options);
      const read = await runVariant(testDevice, step, test.p, params, inputs);
      const { ok, worst } = await verify(step, test.p, params, read);
      assert(ok, JSON.stringify(worst));
    }
  });
}

Deno.test("score/pages: the newest token has more loads than a workgroup has threads", async () => {
  const adds: Variant = { ...pagesAppend, stage: "encode_append" };
  const test = testCase({ heads: [2, 1], headDim: 256, dtype: "f32", lengths: [38] });
  const params = { ...adds.defaults(test.p, testDevice.limits), WORKGROUP: 32 };
  assertEquals(adds.refuses(test.p, params, testDevice.limits), undefined);
  await assertCorrect(testDevice, adds, test, params);
});

Deno.test("score/pages: an infinite bound that no query takes counts nowhere", async () => {
  // Rows of 12 loads, of which 8 lanes have two each, and four lanes have none to themselves.
  const { p, options } = testCase({ heads: [2, 1], headDim: 96, lengths: [160] });
  const params = { ...pages.defaults(p, testDevice.limits), LANES: 8 };
  assertEquals(pages.refuses(p, params, testDevice.limits), undefined);
  const inputs = makeInputs(pages, p, params, options);
  const bounds = new Float16Array(inputs.page_bounds.buffer.slice(0));
  const q = new Float32Array(inputs.q.buffer.slice(0));
  for (let d = 0; d < 16; d++) {
    bounds[(2 * 5 + 1) * p.headDim + d] = Infinity; // the largest elements of page 5
    for (const head of [0, 1]) q[head * p.headDim + d] = -1;
  }
  const read = await runVariant(testDevice, pages, p, params, {
    ...inputs,
    page_bounds: bounds,
    q,
  });
  const scores = new Float32Array((await read("page_scores", 0, 4 * 9)).slice().buffer);
  assert(scores.every(Number.isFinite), `${scores}`);
});

Deno.test("score/pages: the newest token's elements differ from bounds by one bit", async () => {
  const adds: Variant = { ...pagesAppend, stage: "encode_append" };
  const { p, options } = testCase({ heads: [2, 1], lengths: [38], dtype: "f32" });
  const params = adds.defaults(p, testDevice.limits);
  const inputs = makeInputs(adds, p, params, options);
  const bits = Uint32Array.from(
    { length: inputs.keys.byteLength / 4 },
    (_, i) => (i % 2) * 2 ** 31 + 0x40490fda + (i >> 1) % 3 + Math.floor(i / p.headDim) % 2,
  );
  const keys = new Float32Array(bits.buffer);
  const page_bounds = boundsOfPages(p, keys, [37]);
  const read = await runVariant(testDevice, adds, p, params, { ...inputs, keys, page_bounds });
  const { ok, worst } = await verify(adds, p, params, read);
  assert(ok, JSON.stringify(worst));
});

Deno.test("score/labels: a label has the last channels of a key", async () => {
  const adds: Variant = { ...sharedLabelStep, stage: "encode_append" };
  const { p, options } = testCase({ heads: [2, 1], headDim: 64, lengths: [37] });
  const params = adds.defaults(p, testDevice.limits);
  const inputs = makeInputs(adds, p, params, options);
  const channels = Uint32Array.from(
    { length: inputs.channels.byteLength / 4 },
    (_, i) => 48 + i % 16,
  );
  const read = await runVariant(testDevice, adds, p, params, { ...inputs, channels: channels });
  const { ok, worst } = await verify(adds, p, params, read);
  assert(ok, JSON.stringify(worst));
});

Deno.test("byteRowReference() divides by a power of two and rounds halves to even bytes", () => {
  const bytes = (...row: number[]) => [...byteRowReference(row).bytes];
  assertEquals(byteRowReference([64, -1, 0.5]).scale, 1);
  assertEquals(bytes(64, 0.5, 1.5, 2.5, -0.5, -1.5, -0), [64, 0, 2, 2, 0, -2, 0]);
  assertEquals(bytes(127.5, -127.75, 127.25), [127, -127, 127]);
  assertEquals(byteRowReference([127.99]).scale, 1);
  assertEquals(byteRowReference([128, 1]), { bytes: Int8Array.of(64, 0), scale: 2 });
  assertEquals(byteRowReference([0, -0]), { bytes: Int8Array.of(0, 0), scale: 2 ** -106 });
  assertEquals(byteRowReference([1e-35]).scale, 2 ** -106);
});

/** The f32 scores of a sequence whose rows are of one float each, by index head and by token. */
async function scoresOf(
  variant: typeof index,
  queryOf: (head: number) => number,
  keyOf: (token: number) => number,
  weightOf: (head: number) => number,
): Promise<Float32Array> {
  const { heads, dim } = INDEX;
  const test = testCase({ heads: [4, 1], lengths: [300] });
  const params = variant.defaults(test.p, testDevice.limits);
  const inputs = makeInputs(variant, test.p, params, test.options);
  const rows = (count: number, valueOf: (row: number) => number) =>
    Float32Array.from({ length: count * dim }, (_, i) => valueOf(Math.floor(i / dim)));
  const keys = Array.from(
    { length: 300 },
    (_, token) => byteRowReference(rows(1, () => keyOf(token))),
  );
  const read = await runVariant(testDevice, variant, test.p, params, {
    ...inputs,
    index_queries: rows(heads, queryOf),
    index_weights: Float32Array.from({ length: heads }, (_, head) => weightOf(head)),
    index_keys: rows(1, () => keyOf(299)),
    index_codes: Int8Array.from(keys.flatMap(({ bytes }) => [...bytes])),
    index_scales: Float32Array.from(keys, ({ scale }) => scale),
  });
  return new Float32Array((await read("scores", 0, 1200)).slice().buffer);
}

for (const variant of [index, indexUnpacked]) {
  const test = (name: string, fn: () => Promise<void>) =>
    Deno.test({ name: `${variant.name}: ${name}`, ignore: !canRun(testDevice, variant), fn });

  test("dots are exact integers up to the largest, of either sign", async () => {
    const largest = 127 * 127 * 128;
    const found = await scoresOf(
      variant,
      () => 127,
      (token) => token % 2 === 0 ? 127 : -127,
      (h) => +(h === 63),
    );
    found.forEach((score, token) => assertEquals(score, token % 2 === 0 ? largest : 0));
  });

  test("the sum over heads has each head's own sign, weight and ReLU", async () => {
    const weight = (head: number) => head - 20;
    const query = (head: number) => head % 3 === 0 ? -1 : 1;
    const found = await scoresOf(variant, query, (token) => token % 5 - 2, weight);
    for (let token = 0; token < 300; token++) {
      let want = 0;
      for (let head = 0; head < INDEX.heads; head++) {
        want += weight(head) * Math.max(0, query(head) * (token % 5 - 2)) * INDEX.dim;
      }
      assertEquals(found[token], want);
    }
  });

  test("a token that no head fires on has the score 0 exactly", async () => {
    const found = await scoresOf(
      variant,
      () => 1,
      (token) => token % 10 === 0 ? 0.75 : -1,
      () => -2,
    );
    assert(found.every((score, token) => token % 10 === 0 ? score < 0 : Math.abs(score) === 0));
  });
}
