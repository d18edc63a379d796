import { prefixGridOf, rotatedCase } from "../../testing/cases/grid.ts";
import { testStage } from "../../testing/cases/suite.ts";
import { openTestDevice } from "../../testing/device/test_device.ts";
import { rotatedShared } from "./rotated_shared.ts";

const testDevice = await openTestDevice();

testStage(
  "score",
  testDevice,
  rotatedCase({ heads: [8, 2], prefix: 1040, lengths: [1041, 1090, 1500], capacity: 2064 }),
  {
    "a prefix of whole blocks, and a block past a sequence": rotatedCase({
      heads: [4, 1],
      prefix: 4096,
      lengths: [4097, 5121],
      codeKind: "random",
    }),
    "the largest distances": rotatedCase({
      heads: [4, 1],
      planes: 3,
      bins: 256,
      prefix: 64,
      lengths: [100, 65],
      codeKind: "all-ones",
    }),
  },
  { variants: [rotatedShared], grid: prefixGridOf("score") },
);
