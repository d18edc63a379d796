import { assert, assertEquals } from "@std/assert";
import type { Variant } from "../core/variant.ts";
import { makeInputs, runVariant } from "../../testing/testing.ts";
import { verify } from "../verify/verify.ts";
import { headLabelStep, packedLabelStep, sharedLabelStep } from "./labels.ts";
import { pagesAppend } from "./pages.ts";
import { assertCorrect, openTestDevice, rivalsOf, testStage } from "../../testing/testing_suite.ts";
import { rivalGridOf, testCase } from "../../testing/testing_grid.ts";

const testDevice = await openTestDevice();

testStage("score", testDevice, testCase({ heads: [8, 2], lengths: [600, 37], capacity: 1040 }), {
  "one token": testCase({ heads: [4, 1], lengths: [1] }),
  "the largest group of exact scores": testCase({ heads: [16, 1], headDim: 128, lengths: [97] }),
  "the largest group": testCase({ heads: [64, 1], lengths: [97] }),
  "a full cache": testCase({ heads: [4, 2], lengths: [512, 40], capacity: 512 }),
}, { variants: rivalsOf("score"), grid: rivalGridOf("score") });

const steps = {
  "score/pages: the newest token enters its page's bounds": pagesAppend,
  "score/labels: the newest token gets its label": sharedLabelStep,
  "score/head_labels: the newest token gets its label": headLabelStep,
  "score/packed_labels: the newest token gets its label": packedLabelStep,
};

for (const [name, step] of Object.entries(steps)) {
  // The scores of a step that adds the newest token, and what it adds, are verified one by one.
  const adds: Variant = { ...step, stage: "encode_append" };
  const kinds = ["normal", "outliers", "zero-rows"] as const;
  const cases = kinds.map((kind, i) =>
    testCase({
      heads: [6, 2],
      dtype: (["f16", "bf16", "f32"] as const)[i],
      lengths: [[128, 1, 17], [511, 512, 513], [257, 32, 5]][i],
      kind,
    })
  );
  Deno.test(name, async () => {
    for (const test of cases) {
      const params = step.defaults(test.p, testDevice.limits);
      assertEquals(step.refuses(test.p, params, testDevice.limits), undefined);
      await assertCorrect(testDevice, adds, test, params);
      const inputs = makeInputs(adds, test.p, params, test.options);
      const read = await runVariant(testDevice, step, test.p, params, inputs);
      const { ok, worst } = await verify(step, test.p, params, read);
      assert(ok, JSON.stringify(worst));
    }
  });
}
