import { openTestDevice, rivalsOf, testStage } from "../../testing/testing_suite.ts";
import { rivalGridOf, testCase } from "../../testing/testing_grid.ts";

const testDevice = await openTestDevice();

testStage("score", testDevice, testCase({ heads: [8, 2], lengths: [600, 37], capacity: 1040 }), {
  "one token": testCase({ heads: [4, 1], lengths: [1] }),
  "the largest group": testCase({ heads: [16, 1], headDim: 128, lengths: [97] }),
}, { variants: rivalsOf("score"), grid: rivalGridOf("score") });
