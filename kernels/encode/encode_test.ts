import { assert, assertAlmostEquals, assertEquals } from "@std/assert";
import { createRandom } from "../../fixtures/random.ts";
import { CACHES, inLayout } from "../../testing/inputs/caches.ts";
import { rotatedCase, testCase } from "../../testing/cases/grid.ts";
import { canRun, openTestDevice, runVariant } from "../../testing/device/test_device.ts";
import { makeInputs } from "../../testing/inputs/inputs.ts";
import { assertCorrect, testStage } from "../../testing/cases/suite.ts";
import { queryWords } from "../core/problem/derived.ts";
import { verify } from "../verify/verify.ts";
import { rotatePrompt } from "./rotate_prompt.ts";
import { rotateAppend, rotateQuery } from "./rotate_token.ts";
import { encodeErrorBound, encodeReference, type MapLayer, packBits } from "./reference.ts";

const testDevice = await openTestDevice();
const small = [
  testCase({ heads: [8, 2], sharing: "group", lengths: [37, 90] }),
  rotatedCase({ heads: [8, 2], lengths: [37, 90] }),
];
const corners = {
  "one token": testCase({ heads: [4, 1], lengths: [1] }),
  "a prime length and bf16 keys": testCase({ heads: [3, 1], lengths: [131], dtype: "bf16" }),
  "rotated: one token": rotatedCase({ heads: [4, 1], lengths: [1] }),
  "rotated: two tokens, and a full cache": rotatedCase({ heads: [3, 1], lengths: [272, 2] }),
  "rotated: zero queries and keys": rotatedCase({ heads: [4, 1], kind: "zero-rows" }),
  "rotated: fewer bits than elements": rotatedCase({ heads: [3, 1], headDim: 256, bits: 32 }),
  "rotated: more bits than elements": rotatedCase({ heads: [3, 1], headDim: 64, bits: 128 }),
  "rotated: the mean of keys in pages": inLayout(
    rotatedCase({ heads: [6, 2], lengths: [37, 90], centre: true }),
    CACHES["pages of 16 tokens"],
  ),
};

testStage("encode_query", testDevice, small, corners);
testStage("encode_append", testDevice, small, corners);
testStage("encode_prompt", testDevice, small, corners);

Deno.test("encodeReference() applies linear layers with SiLU between them", () => {
  const first: MapLayer = { weights: [1, -1, 2, 0.5], bias: [0.25, -3] };
  assertEquals([...encodeReference([2, -1], [first])], [0.25, -5.5]);
  const silu = (x: number) => x / (1 + Math.exp(-x));
  const [only] = encodeReference([2, -1], [first, { weights: [3, 4], bias: [0.5] }]);
  assertAlmostEquals(only, 0.5 + 3 * silu(0.25) + 4 * silu(-5.5), 1e-12);
});

Deno.test("packBits() packs LSB first, and 0 gives no bit", () => {
  const pre = new Float64Array(64).fill(-1);
  pre[0] = 1;
  pre[1] = 0;
  pre[31] = 1e-300;
  pre[33] = 2;
  assertEquals([...packBits(pre)], [0x80000001, 2]);
});

Deno.test("encodeErrorBound() bounds f32 arithmetic, and tightly enough to find mistakes", () => {
  const random = createRandom(7);
  const layers = ([[128, 128], [128, 128], [128, 32]] as const).map(([inputs, outputs]) => ({
    weights: Float32Array.from(
      { length: inputs * outputs },
      () => random.normal() / Math.sqrt(inputs),
    ),
    bias: Float32Array.from({ length: outputs }, () => random.normal()),
  }));
  const row = Float32Array.from({ length: 128 }, () => random.normal());
  let activations = row;
  for (const [at, { weights, bias }] of layers.entries()) {
    const out = Float32Array.from(bias);
    for (let i = 0; i < activations.length; i++) {
      const x = activations[i];
      const input = at === 0 ? x : Math.fround(x / Math.fround(1 + Math.fround(Math.exp(-x))));
      for (let j = 0; j < out.length; j++) {
        out[j] += Math.fround(input * weights[i * out.length + j]);
      }
    }
    activations = out;
  }
  const want = encodeReference(row, layers);
  encodeErrorBound(row, layers).forEach((bound, j) => {
    assert(Math.abs(activations[j] - want[j]) <= bound, `bit ${j}`);
    assert(bound < 3e-4, `bound ${bound} of bit ${j}`);
  });
});

for (const variant of [rotateAppend, rotatePrompt]) {
  Deno.test(`${variant.name}: the largest factor stands for all keys that are longer`, async () => {
    const { p, options } = rotatedCase({ heads: [4, 1], lengths: [37], dtype: "f32" });
    const params = variant.defaults(p, testDevice.limits);
    const inputs = makeInputs(variant, p, params, options);
    const keys = Float32Array.from(new Float32Array(inputs.keys.buffer), (x) => 1e5 * x);
    const read = await runVariant(testDevice, variant, p, params, { ...inputs, keys });
    const { ok, worst } = await verify(variant, p, params, read);
    assert(ok, JSON.stringify(worst));
    assertEquals((await read("factors", 36, 1))[0], 255);
  });
}

Deno.test({
  name: "encode/rotate_prompt: a thread adds up words of several loads",
  ignore: !canRun(testDevice, rotatePrompt),
  async fn() {
    const test = rotatedCase({ heads: [2, 1], lengths: [2000, 1030], centre: true });
    const params = { ...rotatePrompt.defaults(test.p, testDevice.limits), SUM_WORKGROUP: 64 };
    await assertCorrect(testDevice, rotatePrompt, test, params);
  },
});

Deno.test("verify() refuses a bin scale of a query whose multiplier is off", async () => {
  const { p, options } = rotatedCase({ heads: [4, 1], lengths: [90] });
  const params = rotateQuery.defaults(p, testDevice.limits);
  const inputs = makeInputs(rotateQuery, p, params, options);
  const read = await runVariant(testDevice, rotateQuery, p, params, inputs);
  const isAccepted = async (multiplierOf: (right: number) => number) => {
    const spoiled: typeof read = async (name, offset, length) => {
      const bytes = (await read(name, offset, length)).slice();
      if (name !== "query_codes") return bytes;
      const words = new Uint32Array(bytes.buffer);
      for (let at = queryWords(p) - 1; at < words.length; at += queryWords(p)) {
        words[at] = (words[at] & ~0xffff) | multiplierOf(words[at] & 0xffff);
      }
      return bytes;
    };
    return (await verify(rotateQuery, p, params, spoiled)).ok;
  };
  assertEquals(await isAccepted((right) => right), true);
  for (const wrong of [() => 0, () => 1, (right: number) => right >> 1]) {
    assertEquals(await isAccepted(wrong), false);
  }
});
