import { testCase } from "../../testing/testing_grid.ts";
import { openTestDevice, testStage } from "../../testing/testing_suite.ts";

const small = testCase({ heads: [8, 2], sharing: "group", lengths: [37, 90] });

testStage("attend", await openTestDevice(), small, {
  "an empty selection": testCase({ heads: [4, 1], topK: { count: 0 }, windows: [0, 0] }),
  "NaN in rows that are not selected": testCase(
    { heads: [4, 1], topK: { count: 5 }, dtype: "f32" },
    { poisonUnselected: true },
  ),
  "one huge logit at a prime length": testCase({
    heads: [4, 1],
    lengths: [509],
    kind: "one-huge-logit",
    topK: { count: 0xffffffff },
  }),
});
