import { assertEquals } from "@std/assert";
import { testCase } from "../../testing/testing_grid.ts";
import { canRun } from "../../testing/testing.ts";
import { assertCorrect, openTestDevice, testStage } from "../../testing/testing_suite.ts";
import { HAND_OVER_CODE } from "../merge/hand_over.ts";
import { denseSplitSubgroup } from "./split_subgroup.ts";

const small = testCase({ heads: [8, 2], lengths: [37, 90], kind: "rising-logits" });

const testDevice = await openTestDevice();

testStage("dense", testDevice, small, {
  "one token": testCase({ heads: [4, 1], lengths: [1] }),
  "one huge logit at a prime length": testCase({
    heads: [4, 1],
    lengths: [509],
    kind: "one-huge-logit",
  }),
  "a last tile that is longer than the cache": testCase({ heads: [4, 1], lengths: [270, 257] }),
  "sequences of one token to a thousand": testCase({
    heads: [8, 2],
    headDim: 64,
    lengths: [1, 1031, 40, 333],
    kind: "falling-logits",
  }),
  "rows past the end are NaN": testCase({ heads: [2, 2], lengths: [65, 3], dtype: "bf16" }),
});

/** Tests the subgroup kernel with some parameters of its own on groups of seven query heads. */
function testSubgroup(name: string, own: Readonly<Record<string, number>>): void {
  Deno.test({
    name: `${denseSplitSubgroup.name}: ${name}`,
    ignore: !canRun(testDevice, denseSplitSubgroup),
    async fn() {
      const test = testCase({ heads: [14, 2], headDim: 256, lengths: [150, 31] });
      const params = { ...denseSplitSubgroup.defaults(test.p, testDevice.limits), ...own };
      assertEquals(denseSplitSubgroup.refuses(test.p, params, testDevice.limits), undefined);
      await assertCorrect(testDevice, denseSplitSubgroup, test, params);
    },
  });
}

testSubgroup("a dispatch joins groups of several lists", { HAND_OVER: HAND_OVER_CODE.dispatch });
testSubgroup("heads that are joined in several turns", { WORKGROUP: 64, JOINED: 2 });
