import { openTestDevice, rivalsOf, testStage } from "../../testing/testing_suite.ts";
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
  // NSA has tests of its own.
  variants: rivalsOf("rival").filter(({ name }) => name !== "pipeline/nsa"),
  grid: rivalGridOf("rival"),
  // Each stage has tests of its own.
  parameterSets: 2,
});
