import { assert, assertEquals } from "@std/assert";
import { findVariant } from "../core/registry.ts";
import { verify } from "../verify/verify.ts";
import { canRun, makeInputs, runVariant } from "../../testing/testing.ts";
import {
  assertCorrect,
  openTestDevice,
  rivalsOf,
  testSetting,
  testStage,
} from "../../testing/testing_suite.ts";
import { rivalGridOf, testCase } from "../../testing/testing_grid.ts";

const testDevice = await openTestDevice();

/** Steps whose stages other steps have, too, or whose stages have grids of their own. */
const parts = rivalsOf("rival").filter(({ name }) => /double_sparsity_|quest_portable/.test(name));
const whole = rivalsOf("rival").filter((variant) => !parts.includes(variant));

testStage("rival", testDevice, testCase({ heads: [4, 2], lengths: [37, 90] }), {
  "one token": testCase({ heads: [4, 1], lengths: [1] }),
  "equal scores over several shares, the highest index wins": testCase({
    heads: [4, 1],
    lengths: [2500, 700],
    kind: "equal-logits",
    ties: "higher",
  }),
}, {
  variants: whole,
  grid: rivalGridOf("rival"),
  // Each stage has tests of its own.
  parameterSets: 2,
});

for (const variant of parts) {
  Deno.test({
    name: `${variant.name}: equals the reference on a part of the grid`,
    ignore: !canRun(testDevice, variant),
    async fn() {
      for (const [i, each] of rivalGridOf("rival").entries()) {
        if (i % 12 === 3) await assertCorrect(testDevice, variant, each);
      }
    },
  });
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
