import { assertEquals } from "@std/assert";
import { testCase } from "../../testing/cases/grid.ts";
import { testSetting, testStage } from "../../testing/cases/suite.ts";
import { openTestDevice } from "../../testing/device/test_device.ts";
import { LARGE_LIMITS } from "../core/device_limits.ts";
import type { HandOver } from "../core/variant.ts";
import { HAND_OVER_CODE } from "../merge/hand_over.ts";
import { denseGptFast } from "./gpt_fast.ts";
import { denseSplit } from "./split.ts";
import { denseSplitScatter } from "./split_scatter.ts";
import { denseSplitSubgroup } from "./split_subgroup.ts";
import { denseTokenPool } from "./token_pool.ts";

const small = testCase({ heads: [8, 2], lengths: [37, 90], kind: "rising-logits" });

const testDevice = await openTestDevice();

testStage("dense", testDevice, small, {
  "one token": testCase({ heads: [4, 1], lengths: [1] }),
  "one huge logit at a prime length": testCase({
    heads: [4, 1],
    lengths: [509],
    kind: "one-huge-logit",
  }),
  "a last tile that goes past the cache": testCase({ heads: [4, 1], lengths: [270, 257] }),
  "sequences of 1 to 1031 tokens": testCase({
    heads: [8, 2],
    headDim: 64,
    lengths: [1, 1031, 40, 333],
    kind: "falling-logits",
  }),
  "a full cache": testCase({ heads: [4, 1], headDim: 128, lengths: [272, 16], capacity: 272 }),
  "the largest group": testCase({ heads: [64, 1], headDim: 80, lengths: [97, 40] }),
  "a group whose heads no list shares evenly": testCase({ heads: [17, 1], lengths: [65] }),
  "rows past the end are NaN": testCase({ heads: [2, 2], lengths: [65, 3], dtype: "bf16" }),
  "a group of 16": testCase({ heads: [16, 1], lengths: [150], kind: "rising-logits" }),
});

const sevens = testCase({ heads: [14, 2], headDim: 256, lengths: [150, 31] });
testSetting(testDevice, denseSplitSubgroup, "a dispatch joins groups of several lists", sevens, {
  HAND_OVER: HAND_OVER_CODE.dispatch,
});
testSetting(testDevice, denseSplitSubgroup, "heads that are joined in several turns", sevens, {
  WORKGROUP: 64,
  JOINED: 2,
});

// A group of 7 leaves lanes and slots without a head, and falls into lists of 4 and 3.
const spare = testCase({ heads: [14, 2], headDim: 64, lengths: [250, 31], kind: "rising-logits" });
testSetting(testDevice, denseSplitScatter, "lists of a part of the group", spare, { HEADS: 4 });
for (const PERMUTED of [0, 1]) {
  const name = `several tokens per lane, ${PERMUTED ? "permuted" : "in order"}`;
  testSetting(testDevice, denseSplitScatter, name, spare, {
    PERMUTED,
    FIXED: 0,
    WORKGROUP: 64,
    TOKENS: 4,
    SPLITS: 1,
  });
}

// Lists of 3 heads are odd, so that one row group of a pair keeps a head more.
for (const [HEADS, PERMUTED, JOINED] of [[4, 1, 2], [4, 0, 1], [3, 0, 2], [3, 1, 3], [1, 0, 1]]) {
  const order = PERMUTED ? "permuted" : "in order";
  const name = `pairs of row groups, lists of ${HEADS}, ${order}, ${JOINED} joined`;
  const setting = { LANES: 4, PAIRED: 1, WORKGROUP: 64, HEADS, PERMUTED, JOINED, TOKENS: 2 };
  testSetting(testDevice, denseSplitScatter, name, spare, { ...setting, SPLITS: 3 });
  testSetting(testDevice, denseSplitScatter, `one split, ${name}`, spare, {
    ...setting,
    TOKENS: 4,
    SPLITS: 1,
  });
}

testSetting(
  testDevice,
  denseSplitScatter,
  "more columns are joined than a workgroup has threads",
  testCase({ heads: [4, 1], headDim: 128, lengths: [257, 31] }),
  { WORKGROUP: 32, LANES: 4, HEADS: 4, JOINED: 4, TOKENS: 2, SPLITS: 3 },
);

// Some logit far exceeds the maximum of the first tile, so that all tiles are computed again. With
// several sequences it is in one of the tiles that are loaded ahead, too.
const late = testCase({ heads: [8, 2], lengths: [509, 300, 257, 31], kind: "one-huge-logit" });
for (const PREFETCH of [0, 1, 3]) {
  testSetting(testDevice, denseSplitScatter, `a late maximum, ${PREFETCH} tiles ahead`, late, {
    WORKGROUP: 64,
    LANES: 4,
    HEADS: 4,
    TOKENS: 4,
    PREFETCH,
    FIXED: 1,
    SPLITS: 2,
  });
}

const pairs = testCase({ heads: [4, 2], lengths: [257, 150] });
for (const variant of [denseSplit, denseSplitSubgroup, denseSplitScatter, denseTokenPool]) {
  const few = { WORKGROUP: 64, LANES: 4, TOKENS: 2, SPLITS: 2 };
  testSetting(testDevice, variant, "a split walks over several tiles", pairs, few);
  const narrow = { WORKGROUP: 64, LANES: 2 };
  testSetting(testDevice, variant, "two lanes share a row", pairs, narrow);
}
testSetting(testDevice, denseGptFast, "a single split", pairs, { SPLITS: 1 });

/** Sequences whose tokens workgroups share out, and the hand-overs of their portions. */
const RAGGED: readonly (readonly [string, readonly number[], readonly HandOver[]])[] = [
  [
    "one long sequence among short ones",
    [700, 1, 33, 32, 1, 200],
    ["dispatch", "barrier", "atomics"],
  ],
  [
    "more sequences than workgroups",
    Array.from({ length: 67 }, (_, i) => 1 + (i * 37) % 61),
    ["dispatch", "barrier", "atomics"],
  ],
  ["sequences of equal length", [96, 96, 96], ["barrier"]],
  ["fewer tiles than workgroups", [3, 1], ["atomics"]],
  ["sequences without tokens", [0, 64, 0, 0, 300, 0], ["dispatch"]],
];
for (const [name, lengths, handOvers] of RAGGED) {
  const { p, options } = testCase({
    heads: [6, 2],
    headDim: 64,
    capacity: 704,
    lengths: lengths.map((length) => Math.max(length, 1)),
    kind: "falling-logits",
  });
  for (const handOver of handOvers) {
    testSetting(
      testDevice,
      denseSplitSubgroup,
      `${name} hand over by ${handOver}`,
      { p, options: { ...options, lengths } },
      {
        WORKGROUP: 64,
        LANES: 4,
        TOKENS: 1,
        HEADS: 2,
        JOINED: 1,
        SPLITS: 5,
        SHARED: 1,
        HAND_OVER: HAND_OVER_CODE[handOver],
      },
    );
  }
}

Deno.test("split_subgroup fills the H100's SMs once, whatever the batch", () => {
  const { p: problem } = testCase({ heads: [32, 8], headDim: 128, lengths: [32768] });
  const splitsOf = (batch: number) =>
    denseSplitSubgroup.defaults({ ...problem, batch }, LARGE_LIMITS).SPLITS;
  assertEquals([1, 2, 8].map(splitsOf), [32, 16, 4]);
  assertEquals(splitsOf(5), 6, "six splits of 40 lists, not seven");
  assertEquals(splitsOf(40), 1);
});

Deno.test("split_scatter fills the H100's SMs once, and fixes its maximum where the compiler likes it", () => {
  const { p: problem } = testCase({ heads: [32, 8], headDim: 128, lengths: [32768] });
  const paramsOf = (batch: number, compiler: "naga" | "tint") =>
    denseSplitScatter.defaults({ ...problem, batch }, { ...LARGE_LIMITS, compiler });
  assertEquals(paramsOf(1, "naga").SPLITS, 33);
  assertEquals(paramsOf(8, "naga").SPLITS, 4, "four splits of 64 lists, not five");
  assertEquals(paramsOf(30, "naga").SPLITS, 1);
  assertEquals([paramsOf(1, "naga").FIXED, paramsOf(1, "tint").FIXED], [0, 1]);
  assertEquals(
    [paramsOf(1, "naga").HELD, paramsOf(1, "tint").HELD],
    [1, 0],
    "room for two on an SM",
  );
});
