import { pqVariantsOf, testSetting, testStage } from "../../testing/cases/suite.ts";
import { openTestDevice } from "../../testing/device/test_device.ts";
import { pqGridOf, testCase } from "../../testing/cases/grid.ts";
import { findVariant } from "../core/registry.ts";

const testDevice = await openTestDevice();

// Steps of other numbers of parts have the same kernels: see the tests below.
const SETTLED = ["pipeline/pq_2", "pipeline/pq_8", "pipeline/pq_16"];
const variants = pqVariantsOf("rival").filter(({ name }) => !SETTLED.includes(name));

testStage("rival", testDevice, testCase({ heads: [4, 2], lengths: [37, 90] }), {
  "one token": testCase({ heads: [4, 1], lengths: [1] }),
  "equal scores over several shares, the highest index wins": testCase({
    heads: [4, 1],
    lengths: [2500, 700],
    kind: "equal-logits",
    ties: "higher",
  }),
}, {
  variants,
  grid: pqGridOf("rival"),
  // Each stage has tests of its own.
  parameterSets: 2,
});

for (const parts of [2, 4, 8, 16]) {
  const variant = findVariant(`pipeline/pq_${parts}`);
  testSetting(
    testDevice,
    variant,
    "equals the reference where the newest token is alone in its share",
    testCase({
      heads: [14, 2],
      headDim: 64,
      lengths: [513, 300, 34],
      topK: { sparsity: 2 },
      windows: [0, 0],
      ties: "higher",
    }),
    { "score.WORKGROUP": 64, "score.PASS_PARTS": 2, "score.TURNS": 1 },
  );
  testSetting(
    testDevice,
    variant,
    "equals the reference with tables of 32 bits and several turns",
    testCase({ heads: [3, 1], headDim: 64, lengths: [700], dtype: "f32" }),
    { "score.TABLE_BITS": 32, "score.PASS_PARTS": 2, "score.WORKGROUP": 128, "score.TURNS": 2 },
  );
}
