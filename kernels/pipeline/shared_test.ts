import { findVariant } from "../core/registry.ts";
import { prefixGridOf, rotatedCase } from "../../testing/cases/grid.ts";
import { testSetting, testStage } from "../../testing/cases/suite.ts";
import { openTestDevice } from "../../testing/device/test_device.ts";

const testDevice = await openTestDevice();

const variants = ["three", "four"].map((count) => findVariant(`pipeline/shared_${count}`));
variants.push(findVariant("pipeline/shared"));

testStage(
  "pipeline",
  testDevice,
  rotatedCase({ heads: [8, 2], prefix: 32, lengths: [37, 90] }),
  {
    "one sequence of one own token": rotatedCase({ heads: [8, 2], prefix: 16, lengths: [17] }),
    "nothing selected": rotatedCase({
      heads: [4, 1],
      prefix: 48,
      lengths: [67, 49],
      topK: { count: 0 },
      windows: [0, 0],
    }),
    "equal keys, codes and factors": rotatedCase({
      heads: [4, 1],
      prefix: 1024,
      lengths: [1543, 1048],
      kind: "equal-logits",
      codeKind: "all-equal",
    }),
    "windows that reach into the prefix": rotatedCase({
      heads: [4, 1],
      prefix: 544,
      lengths: [600, 545, 551],
      windows: [550, 40],
      topK: { sparsity: 4 },
      codeKind: "random",
    }),
    "the newest token has to compete": rotatedCase({
      heads: [4, 1],
      prefix: 528,
      lengths: [600, 533, 529],
      topK: { sparsity: 2 },
      windows: [0, 0],
      codeKind: "random",
    }),
    "more queries than are scored at a time": rotatedCase({
      heads: [7, 1],
      headDim: 64,
      prefix: 1024,
      lengths: [1030, 1025, 1026, 1027, 1099],
      codeKind: "near-ties",
    }),
  },
  { variants, grid: prefixGridOf("pipeline"), parameterSets: 3 },
);

const long = rotatedCase({
  heads: [4, 1],
  prefix: 8208,
  lengths: [9001, 8209],
  capacity: 9008,
  codeKind: "random",
});
for (const variant of variants) {
  testSetting(testDevice, variant, "the largest blocks", long, { "score.BLOCK": 8192 });
}
