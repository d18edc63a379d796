import { findContender } from "../registry.ts";
import { canRun } from "../testing.ts";
import { testCase } from "../testing_grid.ts";
import { assertCorrect, openTestDevice, testStage } from "../testing_suite.ts";

const small = testCase({ heads: [8, 2], lengths: [37, 90] });

const testDevice = await openTestDevice();

testStage("pipeline", testDevice, small, {
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

const sparseTwo = findContender("pipeline/sparse_two");
Deno.test({
  name: "pipeline/sparse_two: a split takes its blocks in several turns",
  ignore: !canRun(testDevice, sparseTwo),
  async fn() {
    const test = testCase({ heads: [4, 1], lengths: [5000, 1700, 3], capacity: 5008 });
    const defaults = sparseTwo.defaults(test.p, testDevice.limits);
    for (const [SPLITS, ROUNDS] of [[1, 2], [2, 1]]) {
      const own = { "score.WORKGROUP": 256, "score.SPLITS": SPLITS, "score.ROUNDS": ROUNDS };
      await assertCorrect(testDevice, sparseTwo, test, { ...defaults, ...own });
    }
  },
});
