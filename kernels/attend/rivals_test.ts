import { rivalsOf, testStage } from "../../testing/cases/suite.ts";
import { openTestDevice } from "../../testing/device/test_device.ts";
import { rivalGridOf, testCase } from "../../testing/cases/grid.ts";

const testDevice = await openTestDevice();

testStage("attend", testDevice, testCase({ heads: [8, 2], lengths: [37, 90] }), {
  "the newest page alone": testCase({ heads: [4, 1], topK: { count: 15 }, windows: [0, 0] }),
  "NaN in pages that are not selected": testCase(
    { heads: [4, 1], lengths: [257, 150], topK: { count: 40 }, windows: [0, 0] },
    { poisonUnselected: true },
  ),
  "one huge logit at a prime length": testCase({
    heads: [4, 1],
    lengths: [509],
    kind: "one-huge-logit",
    topK: { count: 0xffffffff },
  }),
}, { variants: rivalsOf("attend"), grid: rivalGridOf("attend") });
