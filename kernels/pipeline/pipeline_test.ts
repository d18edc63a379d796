import { testCase } from "../testing_grid.ts";
import { openTestDevice, testStage } from "../testing_suite.ts";

const small = testCase({ heads: [8, 2], lengths: [37, 90] });

testStage("pipeline", await openTestDevice(), small, {
  "one token": testCase({ heads: [4, 1], lengths: [1] }),
  "nothing selected": testCase({
    heads: [4, 1],
    lengths: [67],
    topK: { count: 0 },
    windows: [0, 0],
  }),
  "several blocks and codes that tie": testCase({
    heads: [4, 1],
    lengths: [1543, 2048],
    codeKind: "near-ties",
  }),
  // A kernel that guesses where its picks lie, and looks at a part of the tokens, guesses wrong.
  "picks that all lie at the beginning": testCase({
    heads: [4, 1],
    lengths: [9001],
    capacity: 9008,
    codeKind: "all-equal",
  }),
});
