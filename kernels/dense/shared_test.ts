import { prefixGridOf, testCase } from "../../testing/cases/grid.ts";
import { testSetting, testStage } from "../../testing/cases/suite.ts";
import { openTestDevice } from "../../testing/device/test_device.ts";
import type { Params } from "../core/problem/constants.ts";
import { cascade } from "./cascade.ts";

const small = testCase({
  heads: [8, 2],
  prefix: 96,
  lengths: [97, 140, 112],
  kind: "rising-logits",
});

const testDevice = await openTestDevice();

testStage("dense", testDevice, small, {
  "one sequence": testCase({ heads: [4, 1], prefix: 256, lengths: [257] }),
  "one huge logit": testCase({
    heads: [4, 1],
    prefix: 400,
    lengths: [509, 401],
    kind: "one-huge-logit",
  }),
  "rows of several tiles": testCase({
    heads: [64, 1],
    headDim: 64,
    prefix: 80,
    lengths: [97, 81, 90],
    kind: "falling-logits",
  }),
  "more rows than a tile by one": testCase({
    heads: [3, 1],
    headDim: 128,
    prefix: 32,
    lengths: Array.from({ length: 43 }, (_, i) => 33 + i),
  }),
  "full caches": testCase({
    heads: [2, 1],
    headDim: 128,
    prefix: 256,
    lengths: [272, 272],
    capacity: 272,
  }),
  "rows past the end are NaN": testCase({
    heads: [2, 2],
    prefix: 48,
    lengths: [65, 49],
    dtype: "bf16",
  }),
  "rows of D longer than the lanes of a group": testCase({
    heads: [6, 2],
    headDim: 256,
    prefix: 80,
    lengths: [97, 81],
  }),
}, { variants: [cascade], grid: prefixGridOf("dense") });

const few = testCase({ heads: [4, 2], headDim: 64, prefix: 304, lengths: [400, 305] });
const products = {
  WORKGROUP: 32,
  ROWS: 16,
  COLUMNS: 32,
  COLUMN_THREADS: 8,
  DEPTH: 4,
  KEYS: 8,
};
const SETTINGS: Record<string, Params> = {
  "a split walks over several tiles": { SPLITS: 2 },
  "a single split": { SPLITS: 1 },
  "more splits than tiles": { SPLITS: 33 },
  "several splits of the own tokens": { SPLITS: 3, "own.SPLITS": 5 },
};
for (const [name, own] of Object.entries(SETTINGS)) {
  testSetting(testDevice, cascade, name, few, { ...products, ...own });
}

const huge = testCase({
  heads: [12, 12],
  headDim: 64,
  prefix: 304,
  lengths: [305, 320, 311, 309, 307],
  kind: "one-huge-logit",
});
const steep = { ...huge, p: { ...huge.p, scale: 1 } };
testSetting(testDevice, cascade, "exp2 overflows without the maximum of each row", steep, {
  ...products,
  WORKGROUP: 8,
  ROWS: 4,
  SPLITS: 2,
});
