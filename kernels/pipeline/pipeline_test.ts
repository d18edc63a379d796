import { assertEquals, assertMatch } from "@std/assert";
import { LARGE_LIMITS } from "../core/device_limits.ts";
import type { Problem } from "../core/problem.ts";
import { findVariant } from "../core/registry.ts";
import { HAND_OVER_CODE } from "../merge/hand_over.ts";
import { canRun } from "../../testing/testing.ts";
import { rotatedCase, testCase } from "../../testing/testing_grid.ts";
import {
  assertCorrect,
  openTestDevice,
  testSetting,
  testStage,
} from "../../testing/testing_suite.ts";

/** A shared code with a map of one layer. Some variants support only this, and some do not. */
const shared = { bits: 128, sharing: "group", layers: 1 } as const;

const small = [
  testCase({ heads: [8, 2], lengths: [37, 90] }),
  testCase({ heads: [8, 2], lengths: [37, 90], ...shared }),
  rotatedCase({ heads: [8, 2], lengths: [37, 90] }),
];

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
  "the largest group": testCase({ heads: [64, 1], headDim: 112, lengths: [300, 31] }),
  "a shared code: the largest group": testCase({
    ...shared,
    heads: [64, 1],
    headDim: 80,
    bits: 32,
    lengths: [600, 31],
    codeKind: "random",
  }),
  "rotated: the largest group": rotatedCase({
    heads: [64, 1],
    headDim: 80,
    lengths: [600, 31],
    codeKind: "random",
  }),
  "rotated: one token": rotatedCase({ heads: [4, 1], lengths: [1] }),
  "rotated: nothing selected": rotatedCase({
    heads: [4, 1],
    lengths: [67],
    topK: { count: 0 },
    windows: [0, 0],
  }),
  "rotated: equal keys, codes and factors": rotatedCase({
    heads: [4, 1],
    lengths: [1543, 2048],
    kind: "equal-logits",
    codeKind: "all-equal",
  }),
  "rotated: zero queries and keys": rotatedCase({
    heads: [4, 1],
    lengths: [700, 31],
    kind: "zero-rows",
  }),
  ...Object.fromEntries(
    [[128, 0], [128, 1], [128, 3], [64, 2], [32, 3]].map(([bits, planes]) => [
      `rotated: ${bits} bits and ${planes} planes that decide`,
      rotatedCase({
        heads: [4, 1],
        bits,
        planes,
        lengths: [600, 333],
        windows: [0, 0],
        codeKind: "random",
      }),
    ]),
  ),
  "rotated: the newest token has to compete": rotatedCase({
    heads: [4, 1],
    lengths: [600, 333, 32],
    topK: { sparsity: 2 },
    windows: [0, 0],
    codeKind: "random",
  }),
  "rotated: the newest token is alone in its block": rotatedCase({
    heads: [2, 1],
    lengths: [1025, 2049, 4097],
    topK: { sparsity: 16 },
    windows: [0, 0],
    codeKind: "random",
  }),
  "rotated: a short list over a long cache": rotatedCase({
    heads: [8, 1],
    lengths: [9001],
    capacity: 9008,
    topK: { count: 5 },
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
});

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

for (const name of ["pipeline/rotated_two", "pipeline/rotated_short"]) {
  const variant = findVariant(name);
  Deno.test({
    name: `${name}: a split scores several blocks of several rounds`,
    ignore: !canRun(testDevice, variant),
    async fn() {
      const lengths = [5000, 1700, 3];
      const test = rotatedCase({ heads: [4, 1], lengths, capacity: 5008, codeKind: "random" });
      const defaults = variant.defaults(test.p, testDevice.limits);
      const handOvers = [...Object.values(HAND_OVER_CODE), HAND_OVER_CODE.barrier];
      for (const [i, [SPLITS, ROUNDS]] of [[1, 2], [2, 1], [2, 4], [5, 2]].entries()) {
        const score = { "score.WORKGROUP": 128, "score.SPLITS": SPLITS, "score.ROUNDS": ROUNDS };
        const attend = { "attend.SPLITS": 3, "attend.HAND_OVER": handOvers[i] };
        const params = { ...defaults, ...score, ...attend };
        assertEquals(variant.refuses(test.p, params, testDevice.limits), undefined);
        await assertCorrect(testDevice, variant, test, params);
      }
    },
  });
}

// Blocks of caches beyond LONG_CACHE. Ties are in both of them.
const long = { heads: [4, 1], lengths: [9001, 8193], capacity: 9008 } as const;
const learned = testCase({ ...long, codeKind: "near-ties" });
const rotatedLong = rotatedCase({ ...long, codeKind: "random" });
for (
  const [name, test, score] of [
    ["pipeline/sparse_three", learned, { "score.BLOCK": 8192 }],
    ["pipeline/sparse_four", learned, { "score.BLOCK": 8192 }],
    ["pipeline/sparse", learned, { "score.BLOCK": 8192 }],
    ["pipeline/rotated_three", rotatedLong, { "score.BLOCK": 8192 }],
    ["pipeline/rotated_two", rotatedLong, { "score.WORKGROUP": 512, "score.ROUNDS": 4 }],
    ["pipeline/rotated_short", rotatedLong, { "score.WORKGROUP": 512, "score.ROUNDS": 4 }],
  ] as const
) {
  testSetting(testDevice, findVariant(name), "the largest blocks", test, score);
}

/** Long and short sequences, more than there are workgroups, and how these share them out. */
const RAGGED = [5000, 1, 700, 1025, ...Array.from({ length: 16 }, (_, i) => 1 + 7 * i), 2049];
const ragged = [
  ["pipeline/sparse_two", testCase({ heads: [2, 1], lengths: RAGGED, layers: 1 })],
  ["pipeline/rotated_short", rotatedCase({ heads: [2, 1], lengths: RAGGED })],
] as const;
for (const [name, test] of ragged) {
  for (const [handOver, shares] of [["dispatch", 16], ["barrier", 3], ["atomics", 40]] as const) {
    testSetting(
      testDevice,
      findVariant(name),
      `${RAGGED.length} sequences in ${shares} shares, hand-over by ${handOver}`,
      test,
      {
        "score.WORKGROUP": 128,
        "score.ROUNDS": 1,
        "score.SPLITS": 6,
        "score.SHARES": shares,
        "attend.SPLITS": 5,
        "attend.SHARES": 2 + shares,
        "attend.HAND_OVER": HAND_OVER_CODE[handOver],
      },
    );
  }
}

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
