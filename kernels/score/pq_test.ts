import { assert, assertEquals, assertMatch } from "@std/assert";
import { packKv } from "../../fixtures/half.ts";
import { openTestDevice, runVariant } from "../../testing/device/test_device.ts";
import { makeInputs } from "../../testing/inputs/inputs.ts";
import { assertCorrect, pqVariantsOf, testSetting, testStage } from "../../testing/cases/suite.ts";
import { pqGridOf, testCase } from "../../testing/cases/grid.ts";
import { DEFAULT_LIMITS } from "../core/device_limits.ts";
import type { DeviceLimits, Variant } from "../core/variant.ts";
import { centroidBytes, centroidDtype, PQ_PARTS, pqNames } from "../encode/pq.ts";
import { verify } from "../verify/verify.ts";
import { pqAppendScore, pqScore } from "./pq.ts";

const testDevice = await openTestDevice();

// The kernel of other numbers of parts is the same: see the tests below.
const SETTLED = ["score/pq_4", "score/pq_8"];
const variants = pqVariantsOf("score").filter(({ name }) => !SETTLED.includes(name));

testStage("score", testDevice, testCase({ heads: [8, 2], lengths: [600, 37], capacity: 1040 }), {
  "one token": testCase({ heads: [4, 1], lengths: [1] }),
  "the largest group": testCase({ heads: [16, 1], headDim: 128, lengths: [97] }),
}, { variants, grid: pqGridOf("score") });

for (const parts of [4, 8]) {
  const heads = [14, 2] as const;
  const test = testCase({ heads, lengths: [1300, 700, 1], headDim: 96, dtype: "bf16" });
  const own = {
    PASS_PARTS: 4,
    WORKGROUP: 64,
    TABLE_BITS: parts === 4 ? 32 : 16,
    TURNS: parts === 4 ? 2 : 4,
  };
  testSetting(
    testDevice,
    pqScore.get(parts)!,
    "equals the reference in several shares, turns and passes",
    test,
    own,
  );
}

for (const [i, step] of [...pqAppendScore.values()].entries()) {
  Deno.test(`${step.name}: the newest token gets its codes`, async () => {
    // The scores of a step that adds the newest token, and what it adds, are verified one by one.
    const adds: Variant = { ...step, stage: "encode_append" };
    const dtype = (["f16", "bf16", "f32", "f16"] as const)[i];
    for (const lengths of [[128, 1, 18], [511, 512, 513]]) {
      const { p, options } = testCase({ heads: [10, 2], lengths, dtype });
      const params = { ...step.defaults(p, testDevice.limits), PASS_PARTS: 2, WORKGROUP: 64 };
      assertEquals(step.refuses(p, params, testDevice.limits), undefined);
      await assertCorrect(testDevice, adds, { p, options }, params);
      const inputs = makeInputs(adds, p, params, options);
      const read = await runVariant(testDevice, step, p, params, inputs);
      const { ok, worst } = await verify(step, p, params, read);
      assert(ok, JSON.stringify(worst));
    }
  });
}

for (const [name, scale] of [["at the ends of f16", 300], ["beyond f16", 3000]] as const) {
  for (const TABLE_BITS of [16, 32]) {
    Deno.test(`score/pq_8: table entries ${name}, of ${TABLE_BITS} bits`, async () => {
      const { p, options } = testCase({ heads: [4, 1], headDim: 64, lengths: [90] });
      const variant = pqScore.get(8)!;
      const params = { ...variant.defaults(p, testDevice.limits), TABLE_BITS, PASS_PARTS: 2 };
      const inputs = makeInputs(variant, p, params, options);
      const random = new Float32Array(inputs.q.buffer);
      const numbers = centroidBytes(p) / (centroidDtype(p) === 1 ? 2 : 4);
      const changed = {
        ...inputs,
        q: random.map((each) => scale * each),
        [pqNames(8).centroids]: packKv(
          Float64Array.from({ length: numbers }, (_, i) => 60 * Math.sin(i * i)),
          "f16",
        ),
      };
      const read = await runVariant(testDevice, variant, p, params, changed);
      const { ok, worst } = await verify(variant, p, params, read);
      assert(ok, JSON.stringify(worst));
    });
  }
}

Deno.test("score/pq: tables of the defaults fit the workgroup memory of a device", () => {
  const { p } = testCase({ heads: [8, 2], headDim: 128, lengths: [4096] });
  const passes = (limits: DeviceLimits) =>
    PQ_PARTS.map((parts) => {
      const variant = pqScore.get(parts)!;
      const params = variant.defaults(p, limits);
      assertEquals(variant.refuses(p, params, limits), undefined);
      return params.PASS_PARTS;
    });
  // A table of a part has 2 KiB: 8 of them would fill 16 KiB, and leave none for the newest key.
  assertEquals(passes(DEFAULT_LIMITS), [2, 4, 4, 4]);
  assertEquals(passes({ ...DEFAULT_LIMITS, maxComputeWorkgroupStorageSize: 32768 }), [2, 4, 8, 8]);
  const eight = pqScore.get(8)!;
  const wide = { ...eight.defaults(p, DEFAULT_LIMITS), PASS_PARTS: 8 };
  const refusal = eight.refuses(p, wide, DEFAULT_LIMITS);
  assertMatch(refusal ?? "", /bytes of workgroup memory, this device allows 16384/);
});
