import type { Stage } from "../core/variant.ts";
import { prefixGridOf, rotatedCase } from "../../testing/cases/grid.ts";
import { testStage } from "../../testing/cases/suite.ts";
import { openTestDevice } from "../../testing/device/test_device.ts";
import { rotatePrompt } from "./rotate_prompt.ts";
import { rotateAppend } from "./rotate_token.ts";

const testDevice = await openTestDevice();

const STAGES: readonly Stage[] = ["encode_append", "encode_prompt"];
for (const stage of STAGES) {
  testStage(
    stage,
    testDevice,
    rotatedCase({ heads: [4, 2], prefix: 112, lengths: [113, 150, 130] }),
    {
      "a prefix within the first tile": rotatedCase({
        heads: [2, 1],
        prefix: 16,
        lengths: [17, 31],
      }),
      "one sequence": rotatedCase({ heads: [2, 2], prefix: 128, lengths: [140] }),
    },
    {
      variants: [stage === "encode_append" ? rotateAppend : rotatePrompt],
      grid: prefixGridOf(stage),
      parameterSets: 3,
    },
  );
}
