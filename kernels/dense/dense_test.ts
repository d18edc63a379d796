import { testCase } from "../../testing/testing_grid.ts";
import { openTestDevice, testStage } from "../../testing/testing_suite.ts";

const small = testCase({ heads: [8, 2], lengths: [37, 90], kind: "rising-logits" });

testStage("dense", await openTestDevice(), small, {
  "one token": testCase({ heads: [4, 1], lengths: [1] }),
  "one huge logit at a prime length": testCase({
    heads: [4, 1],
    lengths: [509],
    kind: "one-huge-logit",
  }),
  "a last tile that goes past the cache": testCase({ heads: [4, 1], lengths: [270, 257] }),
  "sequences of 1 to 1031 tokens": testCase({
    heads: [8, 2],
    headDim: 64,
    lengths: [1, 1031, 40, 333],
    kind: "falling-logits",
  }),
  "rows past the end are NaN": testCase({ heads: [2, 2], lengths: [65, 3], dtype: "bf16" }),
});
