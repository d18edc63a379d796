import { assert, assertEquals } from "@std/assert";
import { findVariant } from "../core/registry.ts";
import type { Params } from "../core/problem/constants.ts";
import { HAND_OVER_CODE } from "../merge/hand_over.ts";
import { verify } from "../verify/verify.ts";
import { canRun, openTestDevice, runVariant } from "../../testing/device/test_device.ts";
import { makeInputs } from "../../testing/inputs/inputs.ts";
import { assertCorrect, rivalsOf, testSetting, testStage } from "../../testing/cases/suite.ts";
import { rivalGridOf, testCase } from "../../testing/cases/grid.ts";

const testDevice = await openTestDevice();

const small = testCase({ heads: [4, 2], lengths: [37, 90] });
const corners = {
  "one token": testCase({ heads: [4, 1], lengths: [1] }),
  "equal scores over several shares, the highest index wins": testCase({
    heads: [4, 1],
    lengths: [2500, 700],
    kind: "equal-logits",
    ties: "higher",
  }),
};
const grid = rivalGridOf("rival");

/** Steps of stages that other steps have, too, or of stages that have grids of their own. */
const parts = rivalsOf("rival").filter(({ name }) => /double_sparsity_|quest_portable/.test(name));

/** Steps whose stages have tests of their own, or of others' kernels with other settings. */
const LIKE_OTHERS = [
  "pipeline/dsa_portable",
  "pipeline/fox",
  "pipeline/fox_portable",
  "pipeline/mosa_hybrid",
  "pipeline/mosa_hybrid_portable",
];

/** Steps that take no windows, so that cases which differ in them are the same. */
const WITHOUT_WINDOWS = [
  "pipeline/dsa",
  "pipeline/acp",
  "pipeline/acp_portable",
  "pipeline/mosa",
  "pipeline/mosa_portable",
];

const steps = rivalsOf("rival").filter((variant) =>
  !parts.includes(variant) && !LIKE_OTHERS.includes(variant.name)
);
const [withoutWindows, withWindows] = [true, false].map((without) =>
  steps.filter(({ name }) => WITHOUT_WINDOWS.includes(name) === without)
);

// Each stage has tests of its own, so few parameter sets.
testStage("rival", testDevice, small, corners, { variants: withWindows, grid, parameterSets: 2 });
const alsoEmpty = {
  ...corners,
  "sequences without tokens": testCase(
    { heads: [4, 1], lengths: [1, 5, 1] },
    { lengths: [0, 5, 0] },
  ),
};
testStage("rival", testDevice, small, alsoEmpty, {
  variants: withoutWindows,
  // Shaders with decays take long to compile: half of the cases have one group and one head dim.
  grid: grid.filter(({ p }) => p.sink > 0 && (p.headDim === 96 || p.kvHeads === 2)),
  parameterSets: 2,
});

for (const variant of parts) {
  Deno.test({
    name: `${variant.name}: equals the reference on a part of the grid`,
    ignore: !canRun(testDevice, variant),
    async fn() {
      for (const [i, each] of grid.entries()) {
        if (i % 12 === 3) await assertCorrect(testDevice, variant, each);
      }
    },
  });
}

// Lanes that divide no row, and tiles of more rows than a workgroup has threads.
for (const [headDim, LANES, TOKENS] of [[192, 16, 2], [96, 4, 8]]) {
  testSetting(
    testDevice,
    findVariant("pipeline/mosa_portable"),
    `many slots beside dense heads, ${LANES} lanes with ${TOKENS} rows each`,
    testCase({ heads: [10, 5], headDim, lengths: [600, 37] }),
    {
      MOSA_SPARSITY: 2,
      DENSE_HEADS: 2,
      "attend.LANES": LANES,
      "attend.TOKENS": TOKENS,
      "attend.SPLITS": 13,
    },
  );
}

testSetting(
  testDevice,
  findVariant("pipeline/streaming"),
  "attends a token of both windows once, and no other",
  testCase({ heads: [6, 2], lengths: [131, 40, 260], windows: [90, 90], topK: { count: 99 } }),
  {},
);

Deno.test("pipeline/quest_portable: a page whose bounds are too narrow fails the check", async () => {
  const quest = findVariant("pipeline/quest_portable");
  const { p, options } = testCase({ heads: [2, 1], lengths: [100] });
  const params = quest.defaults(p, testDevice.limits);
  const inputs = makeInputs(quest, p, params, options);
  const checked = async (spoil: (bounds: Float16Array<ArrayBuffer>) => void) => {
    const bounds = new Float16Array(inputs.page_bounds.buffer.slice(0));
    spoil(bounds);
    const all = { ...inputs, page_bounds: bounds };
    const read = await runVariant(testDevice, quest, p, params, all);
    return await verify(quest, p, params, read);
  };
  const row = 2 * p.headDim;
  assert((await checked(() => {})).ok);
  const { worst: narrow } = await checked((bounds) => bounds.fill(0, 2 * row, 3 * row));
  assertEquals(narrow?.what, "page_scores, below a key's");
  assertEquals(narrow?.index, [0, 0, 2]);
  const { worst: newest } = await checked((bounds) => bounds.fill(0, 6 * row, 6 * row + 1));
  assertEquals([newest?.what, newest?.index.slice(0, 3)], ["page_bounds", [0, 0, 6]]);
});

for (const variant of LIKE_OTHERS.map(findVariant)) {
  const own = { heads: [10, 5], headDim: 96, lengths: [300, 37] } as const;
  testSetting(testDevice, variant, "equals the reference", testCase(own), {});
}

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

const hybrids = [["barrier", 192, "f16"], ["atomics", 96, "f32"]] as const;
for (const [handOver, headDim, dtype] of hybrids) {
  testSetting(
    testDevice,
    findVariant("pipeline/mosa"),
    `many slots beside dense heads, joined with a hand-over by ${handOver}`,
    testCase({ heads: [10, 5], headDim, dtype, lengths: [600, 37] }),
    {
      MOSA_SPARSITY: 2,
      DENSE_HEADS: 2,
      "append.WORKGROUP": 64,
      "append.AHEAD": 2,
      "attend.WORKGROUP": 32,
      "attend.SPLITS": 13,
      "attend.HAND_OVER": HAND_OVER_CODE[handOver],
    },
  );
}

const inLists = { "attend.HEADS": 2, "attend.JOINED": 1 };
const decayed: readonly (readonly [name: string, lists: Params])[] = [
  ["acp", inLists],
  ["fox", inLists],
  ["acp_portable", { "attend.HEADS": 1 }],
];
for (const [name, lists] of decayed) {
  testSetting(
    testDevice,
    findVariant(`pipeline/${name}`),
    "several chunks of blocks, in lists of a part of the group",
    testCase({ heads: [6, 2], headDim: 64, lengths: [2500, 1024, 1025, 17] }),
    {
      DECAY_BLOCK: 16,
      "attend.WORKGROUP": 64,
      "attend.LANES": 8,
      "attend.TOKENS": 2,
      ...lists,
    },
  );
}
