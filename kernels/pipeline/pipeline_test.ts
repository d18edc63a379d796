import { assertEquals, assertMatch } from "@std/assert";
import { LARGE_LIMITS } from "../core/device_limits.ts";
import type { Problem } from "../core/problem/problem.ts";
import { findVariant } from "../core/registry.ts";
import { canRun, openTestDevice } from "../../testing/device/test_device.ts";
import { gridOf, testCase } from "../../testing/cases/grid.ts";
import { assertCorrect, testSetting, testStage, variantsOf } from "../../testing/cases/suite.ts";
import { RAGGED, testShares } from "./testing_shares.ts";

/** A shared code with a map of one layer. Some variants support only this, and some do not. */
const shared = { bits: 128, sharing: "group", layers: 1 } as const;

const small = [
  testCase({ heads: [8, 2], lengths: [37, 90] }),
  testCase({ heads: [8, 2], lengths: [37, 90], ...shared }),
];

const testDevice = await openTestDevice();

/** Pipelines of rotated codes have tests in a file of their own. */
const variants = variantsOf("pipeline").filter(({ codes }) => codes !== "rotated");
const tested = { variants, grid: gridOf("pipeline") };

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
  "the largest group": testCase({ heads: [64, 1], headDim: 112, lengths: [300, 31] }),
  "a shared code: the largest group": testCase({
    ...shared,
    heads: [64, 1],
    headDim: 80,
    bits: 32,
    lengths: [600, 31],
    codeKind: "random",
  }),
  // Kernels that guess the window of their picks guess wrong here.
  "picks that all lie at the beginning": testCase({
    heads: [4, 1],
    lengths: [9001],
    capacity: 9008,
    codeKind: "all-equal",
  }),
  "all distances equal, the highest index wins": testCase({
    heads: [4, 1],
    lengths: [2500, 700],
    codeKind: "all-equal",
    ties: "higher",
  }),
  // With that many lists, the newest token is a tie in some.
  "the newest token has to compete, the highest index wins": testCase({
    heads: [16, 8],
    lengths: [600, 333, 32, 65],
    topK: { sparsity: 2 },
    windows: [0, 0],
    codeKind: "random",
    ties: "higher",
  }),
  "codes of two words that decide": testCase({
    heads: [4, 1],
    bits: 64,
    lengths: [1543, 700],
    codeKind: "random",
  }),
  "codes of four words that decide": testCase({
    heads: [2, 1],
    bits: 128,
    lengths: [1543],
    codeKind: "random",
  }),
  "the newest token has to compete": testCase({
    heads: [4, 1],
    lengths: [600, 333, 32],
    topK: { sparsity: 2 },
    windows: [0, 0],
    codeKind: "random",
  }),
  // No token of that block is in a histogram.
  "the newest token is alone in its block": testCase({
    heads: [2, 1],
    lengths: [1025, 2049, 4097],
    topK: { sparsity: 16 },
    windows: [0, 0],
    codeKind: "random",
  }),
  "a shared code of one word": testCase({
    ...shared,
    heads: [4, 1],
    bits: 32,
    lengths: [1543, 700],
    codeKind: "random",
  }),
  "a shared code: the newest token is alone in its block": testCase({
    ...shared,
    heads: [2, 1],
    lengths: [1025, 2049, 4097],
    topK: { sparsity: 16 },
    windows: [0, 0],
    codeKind: "random",
  }),
  // A thread takes 32 tokens, as bits of a word: the windows end before the last of them.
  "a full cache, windows that part words": testCase({
    heads: [4, 1],
    lengths: [1600, 95],
    capacity: 1600,
    windows: [31, 33],
  }),
  "a shared code: a full cache, windows that part words": testCase({
    ...shared,
    heads: [4, 1],
    lengths: [1600, 95],
    capacity: 1600,
    windows: [31, 33],
  }),
  "a shared code: nothing selected": testCase({
    ...shared,
    heads: [4, 1],
    lengths: [67],
    topK: { count: 0 },
    windows: [0, 0],
  }),
  "a shared code: many blocks, unequal lengths and codes that tie": testCase({
    ...shared,
    heads: [4, 1],
    lengths: [5000, 1, 4096],
    topK: { sparsity: 32 },
    windows: [0, 0],
    codeKind: "near-ties",
  }),
  "a shared code: a group of 16, with equal codes and windows": testCase({
    ...shared,
    heads: [16, 1],
    lengths: [3000, 1025],
    topK: { count: 700 },
    windows: [4, 8],
    codeKind: "all-equal",
  }),
  "a shared code: all distances equal, the highest index wins": testCase({
    ...shared,
    heads: [4, 1],
    lengths: [3000, 1025],
    codeKind: "all-equal",
    ties: "higher",
  }),
  "a shared code: many that tie in several blocks, the highest index wins": testCase({
    ...shared,
    heads: [4, 1],
    bits: 32,
    lengths: [5000, 1, 4097],
    topK: { sparsity: 32 },
    windows: [0, 0],
    codeKind: "near-ties",
    ties: "higher",
  }),
  "a shared code: the newest token has to compete, the highest index wins": testCase({
    ...shared,
    heads: [16, 16],
    bits: 32,
    lengths: [600, 333, 32, 65],
    topK: { sparsity: 2 },
    windows: [0, 0],
    codeKind: "random",
    ties: "higher",
  }),
  "a shared code: as many picks as there are tokens": testCase({
    ...shared,
    heads: [6, 2],
    bits: 64,
    lengths: [1543],
    topK: { count: 1543 },
    windows: [0, 0],
  }),
}, tested);

Deno.test("pipeline/sparse_two_group: the pipelines that it names take larger groups", () => {
  const refusal = (name: string, p: Problem) => {
    const variant = findVariant(name);
    return variant.refuses(p, variant.defaults(p, LARGE_LIMITS), LARGE_LIMITS);
  };
  const named = [[17, 64, "four"], [64, 64, "four"], [64, 128, "sorted"]] as const;
  for (const [group, bits, pipeline] of named) {
    const { p } = testCase({ ...shared, heads: [group, 1], bits, lengths: [131072] });
    assertMatch(
      refusal("pipeline/sparse_two_group", p)!,
      /sparse_four takes .*sparse_sorted takes/,
    );
    assertEquals(refusal(`pipeline/sparse_${pipeline}`, p), undefined);
  }
});

const sparseTwo = findVariant("pipeline/sparse_two");
Deno.test({
  name: "pipeline/sparse_two: a split processes its blocks in several turns",
  ignore: !canRun(testDevice, sparseTwo),
  async fn() {
    const test = testCase({ heads: [4, 1], lengths: [5000, 1700, 3], capacity: 5008 });
    const defaults = sparseTwo.defaults(test.p, testDevice.limits);
    for (const [SPLITS, ROUNDS] of [[1, 2], [2, 1]]) {
      const changes = { "score.WORKGROUP": 256, "score.SPLITS": SPLITS, "score.ROUNDS": ROUNDS };
      await assertCorrect(testDevice, sparseTwo, test, { ...defaults, ...changes });
    }
  },
});

// Blocks of caches beyond LONG_CACHE. Ties are in both of them.
const long = testCase({
  heads: [4, 1],
  lengths: [9001, 8193],
  capacity: 9008,
  codeKind: "near-ties",
});
for (const name of ["pipeline/sparse_three", "pipeline/sparse_four", "pipeline/sparse"]) {
  testSetting(testDevice, findVariant(name), "the largest blocks", long, { "score.BLOCK": 8192 });
}

testShares(testDevice, sparseTwo, testCase({ heads: [2, 1], lengths: RAGGED, layers: 1 }));

const scattered = testCase({
  ...shared,
  heads: [4, 1],
  lengths: [5000, 1700],
  capacity: 5008,
  topK: { sparsity: 32 },
});
testSetting(
  testDevice,
  findVariant("pipeline/sparse_two_group"),
  "a split looks for its picks in several windows",
  scattered,
  { "attend.WORKGROUP": 64, "attend.SPLITS": 1, "attend.TOGETHER": 1 },
);

const wide = { "score.WORKGROUP": 1024, "score.ROWS": 8 };
const narrowing = testCase({ heads: [2, 1], headDim: 128, hidden: 64, lengths: [300] });
Deno.test({
  name: "pipeline/sparse_two: threads that leave no row of a layer to some slices",
  ignore: !canRun(testDevice, sparseTwo) ||
    testDevice.limits.maxComputeInvocationsPerWorkgroup < 1024 ||
    testDevice.limits.subgroupMinSize! < 8,
  async fn() {
    const params = { ...sparseTwo.defaults(narrowing.p, testDevice.limits), ...wide };
    assertEquals(sparseTwo.refuses(narrowing.p, params, testDevice.limits), undefined);
    await assertCorrect(testDevice, sparseTwo, narrowing, params);
  },
});
