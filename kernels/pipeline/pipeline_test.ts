import { testCase } from "../testing_grid.ts";
import { openTestDevice, testStage } from "../testing_suite.ts";

/** A code that a group shares, of one layer: some contenders take no other, some not this one. */
const shared = { bits: 128, sharing: "group", layers: 1 } as const;

const small = [
  testCase({ heads: [8, 2], lengths: [37, 90] }),
  testCase({ heads: [8, 2], lengths: [37, 90], ...shared }),
];

testStage("pipeline", await openTestDevice(), small, {
  "one token": testCase({ heads: [4, 1], lengths: [1] }),
  "nothing selected": testCase({
    heads: [4, 1],
    lengths: [67],
    topK: { count: 0 },
    windows: [0, 0],
  }),
  "several blocks and codes that tie": testCase({
    heads: [4, 1],
    lengths: [1543, 2048],
    codeKind: "near-ties",
  }),
  "a shared code: nothing selected": testCase({
    ...shared,
    heads: [4, 1],
    lengths: [67],
    topK: { count: 0 },
    windows: [0, 0],
  }),
  "a shared code: many blocks, unequal lengths and codes that tie": testCase({
    ...shared,
    heads: [4, 1],
    lengths: [5000, 1, 4096],
    topK: { sparsity: 32 },
    windows: [0, 0],
    codeKind: "near-ties",
  }),
  "a shared code: the largest group, of equal codes, in windows": testCase({
    ...shared,
    heads: [16, 1],
    lengths: [3000, 1025],
    topK: { count: 700 },
    windows: [4, 8],
    codeKind: "all-equal",
  }),
  "a shared code: as many picks as there are tokens": testCase({
    ...shared,
    heads: [6, 2],
    bits: 64,
    lengths: [1543],
    topK: { count: 1543 },
    windows: [0, 0],
  }),
});
