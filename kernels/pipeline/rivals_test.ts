import { canRun } from "../../testing/testing.ts";
import { assertCorrect, openTestDevice, rivalsOf, testStage } from "../../testing/testing_suite.ts";
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
