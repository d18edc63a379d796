import { assertEquals } from "@std/assert";
import { findVariant } from "../core/registry.ts";
import { HAND_OVER_CODE } from "../merge/hand_over.ts";
import { canRun, openTestDevice } from "../../testing/device/test_device.ts";
import { gridOf, rotatedCase } from "../../testing/cases/grid.ts";
import { assertCorrect, testSetting, testStage, variantsOf } from "../../testing/cases/suite.ts";
import { RAGGED, testShares } from "./testing_shares.ts";

const small = rotatedCase({ heads: [8, 2], lengths: [37, 90] });

const testDevice = await openTestDevice();

const variants = variantsOf("pipeline").filter(({ codes }) => codes === "rotated");
const tested = { variants, grid: gridOf("pipeline") };

testStage("pipeline", testDevice, small, {
  "the largest group": rotatedCase({
    heads: [64, 1],
    headDim: 80,
    lengths: [600, 31],
    codeKind: "random",
  }),
  "one token": rotatedCase({ heads: [4, 1], lengths: [1] }),
  "nothing selected": rotatedCase({
    heads: [4, 1],
    lengths: [67],
    topK: { count: 0 },
    windows: [0, 0],
  }),
  "equal keys, codes and factors": rotatedCase({
    heads: [4, 1],
    lengths: [1543, 2048],
    kind: "equal-logits",
    codeKind: "all-equal",
  }),
  "zero queries and keys": rotatedCase({
    heads: [4, 1],
    lengths: [700, 31],
    kind: "zero-rows",
  }),
  ...Object.fromEntries(
    [[128, 0], [128, 1], [128, 3], [64, 2], [32, 3]].map(([bits, planes]) => [
      `${bits} bits and ${planes} planes that decide`,
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
  "the newest token has to compete": rotatedCase({
    heads: [4, 1],
    lengths: [600, 333, 32],
    topK: { sparsity: 2 },
    windows: [0, 0],
    codeKind: "random",
  }),
  "the newest token is alone in its block": rotatedCase({
    heads: [2, 1],
    lengths: [1025, 2049, 4097],
    topK: { sparsity: 16 },
    windows: [0, 0],
    codeKind: "random",
  }),
  "a short list over a long cache": rotatedCase({
    heads: [8, 1],
    lengths: [9001],
    capacity: 9008,
    topK: { count: 5 },
    codeKind: "random",
  }),
}, tested);

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

Deno.test("pipeline/rotated_short: refuses shares of the score without shares of its own", () => {
  const variant = findVariant("pipeline/rotated_short");
  const params = { ...variant.defaults(small.p, testDevice.limits), "score.SHARES": 16 };
  assertEquals(
    variant.refuses(small.p, { ...params, "attend.SHARES": 0 }, testDevice.limits),
    "attend: SHARES is 0, but the score's is not",
  );
  assertEquals(
    variant.refuses(small.p, { ...params, "attend.SHARES": 16 }, testDevice.limits),
    undefined,
  );
});

// Blocks of caches beyond LONG_CACHE. Ties are in both of them.
const long = rotatedCase({
  heads: [4, 1],
  lengths: [9001, 8193],
  capacity: 9008,
  codeKind: "random",
});
const large = { "score.WORKGROUP": 512, "score.ROUNDS": 4 };
for (
  const [name, params] of [
    ["pipeline/rotated_three", { "score.BLOCK": 8192 }],
    ["pipeline/rotated_two", large],
    ["pipeline/rotated_short", large],
  ] as const
) {
  testSetting(testDevice, findVariant(name), "the largest blocks", long, params);
}

// Touches that take some threads two turns, and lengths that end before the last of them. What they
// load must not reach the output.
const touched = rotatedCase({
  heads: [2, 1],
  headDim: 80,
  dtype: "f32",
  lengths: [9001, 500, 1],
  capacity: 9008,
  codeKind: "random",
});
testSetting(
  testDevice,
  findVariant("pipeline/rotated_short"),
  "touches do not reach the output",
  touched,
  { "attend.TOUCH": 2 ** 16, "attend.WORKGROUP": 64 },
);

const ragged = rotatedCase({ heads: [2, 1], lengths: RAGGED });
testShares(testDevice, findVariant("pipeline/rotated_short"), ragged);
