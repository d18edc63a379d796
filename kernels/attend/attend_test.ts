import { CACHES, inLayout } from "../../testing/inputs/caches.ts";
import { testCase } from "../../testing/cases/grid.ts";
import { testSetting, testStage, variantsOf } from "../../testing/cases/suite.ts";
import { openTestDevice } from "../../testing/device/test_device.ts";
import { gatherMerge } from "./gather_merge.ts";

const small = testCase({ heads: [8, 2], sharing: "group", lengths: [37, 90] });

const testDevice = await openTestDevice();

testStage("attend", testDevice, small, {
  "an empty selection": testCase({ heads: [4, 1], topK: { count: 0 }, windows: [0, 0] }),
  "NaN in rows that are not selected": testCase(
    { heads: [4, 1], headDim: 128, topK: { count: 5 }, dtype: "f32" },
    { poisonUnselected: true },
  ),
  "the largest group": testCase({
    heads: [64, 1],
    headDim: 80,
    sharing: "group",
    lengths: [97, 40],
  }),
  "one huge logit at a prime length": testCase({
    heads: [4, 1],
    lengths: [509],
    kind: "one-huge-logit",
    topK: { count: 0xffffffff },
  }),
  "pages, and a list for each query head": inLayout(
    testCase({ heads: [8, 2], lengths: [37, 90] }, { poisonUnselected: true }),
    CACHES["pages of 16 tokens"],
  ),
});

const all = testCase({ heads: [4, 2], lengths: [257, 150], topK: { count: 0xffffffff } });
const holes = testCase(
  { heads: [8, 2], lengths: [257, 150], topK: { count: 50 }, windows: [0, 0] },
  { poisonUnselected: true },
);
const group = testCase({
  heads: [8, 2],
  sharing: "group",
  lengths: [257, 150],
  topK: { count: 0xffffffff },
});
const ragged = { WORKGROUP: 64, LANES: 4, TOKENS: 2, SPLITS: 4 };
for (const variant of variantsOf("attend")) {
  const few = { WORKGROUP: 64, LANES: 4, TOKENS: 2, SPLITS: 2 };
  testSetting(testDevice, variant, "a split walks over several tiles", all, few);
  testSetting(testDevice, variant, "NaN around splits that end within a tile", holes, ragged);
  testSetting(testDevice, variant, "two lanes share a row", all, { WORKGROUP: 64, LANES: 2 });
  const many = { ...few, TOKENS: 4 };
  testSetting(testDevice, variant, "a tile has more logits than threads", group, many);
}
testSetting(testDevice, gatherMerge, "NaN around splits, rows loaded ahead", holes, {
  ...ragged,
  PREFETCH: 1,
});
