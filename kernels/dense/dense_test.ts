import { openTestDevice, testStage } from "../testing_suite.ts";
import { testCase } from "../testing_grid.ts";

const small = testCase({ heads: [8, 2], headDim: 64, lengths: [37, 90] });

testStage(
  "dense",
  {
    "one token": testCase({ lengths: [1] }),
    "one huge logit at a prime length": testCase({ lengths: [509], kind: "one-huge-logit" }),
    "rows past the end are NaN": testCase({ lengths: [65, 3], room: 640, dtype: "bf16" }),
  },
  small,
  await openTestDevice(),
);
