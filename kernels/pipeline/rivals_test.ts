import { findVariant } from "../core/registry.ts";
import { openTestDevice, rivalsOf, testSetting, testStage } from "../../testing/testing_suite.ts";
import { rivalGridOf, testCase } from "../../testing/testing_grid.ts";

const testDevice = await openTestDevice();

testStage("rival", testDevice, testCase({ heads: [4, 2], lengths: [37, 90] }), {
  "one token": testCase({ heads: [4, 1], lengths: [1] }),
  "equal scores over several shares, the highest index wins": testCase({
    heads: [4, 1],
    lengths: [2500, 700],
    kind: "equal-logits",
    ties: "higher",
  }),
}, {
  variants: rivalsOf("rival"),
  grid: rivalGridOf("rival"),
  // Each stage has tests of its own.
  parameterSets: 2,
});

const dsa = ["pipeline/dsa", "pipeline/dsa_portable"].map(findVariant);
const list = testCase({ heads: [4, 2], headDim: 64, lengths: [300, 37] });

for (const variant of dsa) {
  for (const [TOP, ties] of [[0, "lower"], [7, "lower"], [40, "higher"]] as const) {
    testSetting(testDevice, variant, `takes ${TOP} tokens for all query heads`, {
      ...list,
      p: { ...list.p, ties },
    }, { TOP });
  }
  testSetting(
    testDevice,
    variant,
    "exact zeros are ties: the higher index wins",
    testCase({ heads: [4, 2], headDim: 64, lengths: [300, 37], kind: "zero-rows", ties: "higher" }),
    { TOP: 40 },
  );
}
