import { assert, assertEquals, assertMatch } from "@std/assert";
import type { KvKind } from "../../fixtures/generate.ts";
import { branchRows } from "../core/system_layout.ts";
import { findVariant } from "../core/registry.ts";
import { openTestDevice, runVariant } from "../../testing/device/test_device.ts";
import { makeInputs } from "../../testing/inputs/inputs.ts";
import { type TestCase, testCase } from "../../testing/cases/grid.ts";
import { testSetting, testStage } from "../../testing/cases/suite.ts";
import { verify } from "../verify/verify.ts";
import { picksStart } from "./nsa.ts";
import {
  blockScores,
  blocksOf,
  compressedRows,
  forcedBlocks,
  selectBlocks,
  tokensOfBlocks,
} from "./nsa_reference.ts";

Deno.test("blockScores() weigh rows 4 j - 1 to 4 j + 3 by 1, 2, 2, 2, 1", () => {
  const scoresOf = (
    row: number,
  ) => [...blockScores(Array.from({ length: 12 }, (_, i) => +(i === row)), 3)];
  assertEquals([3, 4, 5, 6, 7].map((row) => scoresOf(row)[1]), [1, 2, 2, 2, 1]);
  // A row that straddles two blocks counts in both; the paper's sum counts rows and blocks from 1.
  assertEquals(scoresOf(3), [1, 1, 0]);
  assertEquals(scoresOf(0), [2, 0, 0]);
  assertEquals(scoresOf(8), [0, 0, 2]);
});

Deno.test("compressedRows() are those of which the newest token sees every token", () => {
  const lengths = [0, 1, 31, 32, 47, 48, 63, 64];
  assertEquals(lengths.map(compressedRows), [0, 0, 0, 1, 1, 2, 2, 3]);
});

Deno.test("forcedBlocks() are the first and the last two, once where they coincide", () => {
  assertEquals([0, 1, 2, 3, 4, 9].map(forcedBlocks), [
    [],
    [0],
    [0, 1],
    [0, 1, 2],
    [0, 2, 3],
    [0, 7, 8],
  ]);
});

Deno.test("selectBlocks() takes 16 blocks, of equal scores the first", () => {
  const scores = Array.from({ length: 40 }, (_, block) => block === 30 ? 2 : 1);
  assertEquals(selectBlocks(scores), [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 30, 38, 39]);
  assertEquals(selectBlocks([0, 0]), [0, 1]);
  assertEquals(tokensOfBlocks([1], 66), [64, 65]);
  assertEquals(blocksOf(65), 2);
});

const testDevice = await openTestDevice();
const nsa = findVariant("pipeline/nsa");

/** A case whose rows of V have a length of their own. */
const withValues = ({ p, options }: TestCase, valueDim: number): TestCase => ({
  p: { ...p, valueDim },
  options,
});

const grid = [
  testCase({ heads: [4, 1], headDim: 128, lengths: [2000, 33], capacity: 2064 }),
  testCase({ heads: [8, 1], headDim: 128, lengths: [1543], kind: "outliers", capacity: 1552 }),
  testCase({ heads: [16, 1], headDim: 128, dtype: "f32", lengths: [1100] }),
  testCase({ heads: [10, 2], headDim: 96, dtype: "bf16", lengths: [1301, 700] }),
  // The paper's rows, and rows of V that are the longer ones.
  withValues(testCase({ heads: [16, 1], headDim: 192, lengths: [1250, 1025] }), 128),
  withValues(testCase({ heads: [2, 2], headDim: 80, lengths: [97, 2, 1031] }), 112),
  // So large a group has its blocks scored by a dispatch of their own.
  testCase({ heads: [64, 1], lengths: [1200], kind: "zero-rows", capacity: 8208 }),
];

/** Four sequences of a shape whose shaders are compiled once. */
const corner = (lengths: readonly number[], kind: KvKind = "normal") =>
  testCase({ heads: [4, 1], lengths, kind, capacity: 1328 });

testStage(
  "rival",
  testDevice,
  testCase({ heads: [8, 1], lengths: [1300, 20] }),
  {
    "fewer tokens than a compressed row has": corner([1, 2, 16, 31]),
    "sequences without tokens": testCase(
      { heads: [4, 1], lengths: [1, 5, 1, 1300], capacity: 1328 },
      { lengths: [0, 5, 0, 1300] },
    ),
    "a compressed row is seen from its last token on": corner([32, 47, 48, 63]),
    "a partial last block": corner([1217, 1279, 1280, 1281]),
    "forced blocks that coincide": corner([64, 65, 128, 129]),
    "forced blocks that do not coincide any more": corner([191, 192, 193, 257]),
    "as many blocks as are taken, and one more": corner([960, 1024, 1025, 1088]),
    "a window that is full, and one that is not": corner([510, 511, 512, 513]),
    "blocks whose scores are equal": corner([1300, 1100, 1290, 1025], "equal-logits"),
    "probability in one row, and so in two blocks": corner(
      [1300, 1201, 1310, 1150],
      "one-huge-logit",
    ),
    "logits that rise to the end": corner([1300, 1199, 1310, 1150], "rising-logits"),
  },
  { variants: [nsa], grid, parameterSets: 3 },
);

testSetting(
  testDevice,
  nsa,
  "scores of blocks by a dispatch of their own, and small workgroups",
  testCase({ heads: [8, 2], headDim: 128, lengths: [20, 1100, 1301] }),
  {
    SCORED: 1,
    "blocks.WORKGROUP": 64,
    "compressed.WORKGROUP": 64,
    "branches.WORKGROUP": 64,
    "compressed.TILE": 64,
    "branches.TILE": 64,
  },
);
testSetting(
  testDevice,
  nsa,
  "more heads of a list than threads find the maxima of at once",
  testCase({ heads: [16, 1], headDim: 64, lengths: [1300, 20], kind: "one-huge-logit" }),
  {
    HEADS: 16,
    "compressed.WORKGROUP": 64,
    "branches.WORKGROUP": 64,
    "compressed.TILE": 16,
    "branches.TILE": 16,
  },
);
testSetting(
  testDevice,
  nsa,
  "scores of one huge logit, in either of two splits",
  testCase({ heads: [2, 1], lengths: [5000, 4100, 4500, 4800], kind: "one-huge-logit" }),
  { SCORED: 1, "compressed.WORKGROUP": 64, "compressed.TILE": 16, COMPRESSED_SPLITS: 2 },
);
testSetting(
  testDevice,
  nsa,
  "one huge logit, and branches joined by a dispatch",
  testCase({ heads: [2, 2], lengths: [1300, 20, 1201], kind: "one-huge-logit" }),
  { HAND_OVER: 0 },
);

// In forced blocks it leaves the scores of all others to underflow.
testSetting(
  testDevice,
  nsa,
  "one huge logit anywhere in a tile",
  testCase({
    heads: [2, 1],
    lengths: Array.from({ length: 24 }, (_, i) => 1201 + 5 * i),
    kind: "one-huge-logit",
  }),
  {},
);

Deno.test("pipeline/nsa: many blocks for each thread, and many above the 16th best group", async () => {
  const { p, options } = testCase({ heads: [2, 1], lengths: [40000] });
  const own = { "branches.WORKGROUP": 64, "branches.TILE": 16 };
  const params = { ...nsa.defaults(p, testDevice.limits), ...own };
  assertEquals(nsa.refuses(p, params, testDevice.limits), undefined);
  const inputs = makeInputs(nsa, p, params, options);
  const q = new Float32Array(inputs.q.buffer);
  const keys = new Float16Array(inputs.branch_keys.buffer).slice();
  for (let row = 0; row < compressedRows(40000); row++) {
    // A tenth of the groups that threads make of blocks has all of the largest scores.
    const isHigh = Math.floor(row / 4) % 64 < 7;
    const factor = (isHigh ? 2 : 0) + 0.3 * Math.sin(row * row);
    for (let d = 0; d < p.headDim; d++) {
      keys[(p.capacity + row) * p.headDim + d] = factor * (q[d] + q[p.headDim + d]) / p.headDim;
    }
  }
  const given = { ...inputs, branch_keys: keys };
  const read = await runVariant(testDevice, nsa, p, params, given);
  const { ok, worst } = await verify(nsa, p, params, read);
  assert(ok, JSON.stringify(worst));
});

Deno.test("pipeline/nsa: a head's blocks are scored by its own largest logit, in either split", async () => {
  const kind = "one-huge-logit";
  const { p, options } = testCase({ heads: [2, 1], lengths: [5000, 4100], kind });
  const small = { "compressed.WORKGROUP": 64, "compressed.TILE": 16 };
  const own = { ...small, SCORED: 1, COMPRESSED_SPLITS: 2 };
  const params = { ...nsa.defaults(p, testDevice.limits), ...own };
  assertEquals(nsa.refuses(p, params, testDevice.limits), undefined);
  const inputs = makeInputs(nsa, p, params, options);
  for (const silent of [0, 1]) {
    // All logits of one head are 0, and the other one has a huge one.
    const q = new Float32Array(inputs.q.buffer.slice(0));
    for (const sequence of [0, 1]) {
      const first = (2 * sequence + silent) * p.headDim;
      q.fill(0, first, first + p.headDim);
    }
    const read = await runVariant(testDevice, nsa, p, params, { ...inputs, q });
    const { ok, worst } = await verify(nsa, p, params, read);
    assert(ok, `head ${silent}: ${JSON.stringify(worst)}`);
  }
});

Deno.test("pipeline/nsa: each branch has a cache of its own, of which its gate decides", async () => {
  const { p, options } = corner([1300, 1025, 90, 20]);
  const params = nsa.defaults(p, testDevice.limits);
  const inputs = makeInputs(nsa, p, params, options);
  const first = [p.capacity, 0, p.capacity + p.capacity / 16];
  const end = [first[2], p.capacity, branchRows(p)];
  const outOf = async (gates: Float32Array<ArrayBuffer>, values: Uint16Array<ArrayBuffer>) => {
    const given = { ...inputs, gates, branch_values: values };
    const read = await runVariant(testDevice, nsa, p, params, given);
    return await read("out", 0, 4 * p.batch * p.qHeads * p.headDim);
  };
  for (const branch of [0, 1, 2]) {
    const gates = Float32Array.from(
      { length: 3 * p.batch * p.qHeads },
      (_, i) => +(i % 3 === branch),
    );
    const values = new Uint16Array(inputs.branch_values.buffer).slice();
    const want = await outOf(gates, values);
    const negated = values.map((bits, i) => {
      const row = Math.floor(i / p.headDim) % branchRows(p);
      return row >= first[branch] && row < end[branch] ? bits : bits ^ 0x8000;
    });
    // Zeros have signs.
    const numbers = (bytes: Uint8Array) =>
      Array.from(new Float32Array(bytes.slice().buffer), (x) => x + 0);
    assertEquals(numbers(await outOf(gates, negated)), numbers(want), `branch ${branch}`);
  }
});

Deno.test("pipeline/nsa: a NaN goes on to its own sequence, whichever branch has it", async () => {
  const { p, options } = corner([1300, 1300, 1300, 1300]);
  const params = nsa.defaults(p, testDevice.limits);
  const inputs = makeInputs(nsa, p, params, options);
  const keys = new Uint16Array(inputs.branch_keys.buffer).slice();
  // A compressed row, the newest token, and a slot of the window.
  const rows = [p.capacity + 7, 1299, p.capacity + p.capacity / 16 + 3];
  rows.forEach((row, sequence) => {
    keys[(sequence * branchRows(p) + row) * p.headDim] = 0x7e00;
  });
  const read = await runVariant(testDevice, nsa, p, params, { ...inputs, branch_keys: keys });
  const bytes = await read("out", 0, 4 * p.batch * p.qHeads * p.headDim);
  const out = new Float32Array(bytes.slice().buffer);
  const rowNumbers = p.qHeads * p.headDim;
  for (let sequence = 0; sequence < p.batch; sequence++) {
    const own = out.subarray(sequence * rowNumbers, (sequence + 1) * rowNumbers);
    assertEquals(own.every(Number.isNaN), sequence < rows.length, `sequence ${sequence}`);
    assertEquals(own.some(Number.isNaN), sequence < rows.length, `sequence ${sequence}`);
  }
  const picks = await read("hand_over", 4 * picksStart(p, params), 4 * 16);
  const blocks = [...new Uint32Array(picks.slice().buffer)].sort((a, b) => a - b);
  assertEquals(blocks, [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 19, 20]);
});

Deno.test("pipeline/nsa: its check notices wrong blocks and wrong outputs", async () => {
  const { p, options } = corner([1300, 1300, 1300, 1300]);
  const params = nsa.defaults(p, testDevice.limits);
  const inputs = makeInputs(nsa, p, params, options);
  const read = await runVariant(testDevice, nsa, p, params, inputs);
  const start = 4 * picksStart(p, params);
  /** What the check says if the first sequence's blocks, or its output, are other ones. */
  const complaint = async (changed: { picks?: (blocks: Uint32Array) => void; out?: boolean }) => {
    const { ok, worst } = await verify(nsa, p, params, async (name, offset, length) => {
      const bytes = (await read(name, offset, length)).slice();
      if (name === "hand_over" && offset === start) changed.picks?.(new Uint32Array(bytes.buffer));
      if (name === "out" && offset === 0 && changed.out) bytes[3] ^= 0x80;
      return bytes;
    }, { sequences: [0], heads: [0] });
    return ok ? "" : worst!.what;
  };
  assertEquals(await complaint({}), "");
  const taken = new Uint32Array((await read("hand_over", start, 64)).slice().buffer);
  const left = Array.from({ length: 21 }, (_, block) => block).find((each) =>
    !taken.includes(each)
  );
  const free = taken.findIndex((block) => block !== 0 && block < 19);
  const forced = taken.indexOf(19);
  assertMatch(await complaint({ picks: (blocks) => blocks[free] = left! }), /^score of block/);
  assertMatch(
    await complaint({ picks: (blocks) => blocks[free] = blocks[0] }),
    /^number of blocks/,
  );
  assertMatch(await complaint({ picks: (blocks) => blocks[free] = 21 }), /^number of blocks/);
  assertMatch(await complaint({ picks: (blocks) => blocks[forced] = left! }), /^forced block/);
  assertMatch(await complaint({ out: true }), /^out/);
});

Deno.test("pipeline/nsa: others refuse rows of V that are not as long as those of K", () => {
  const { p } = withValues(testCase({ heads: [4, 1] }), 128);
  for (const name of ["dense/split", "pipeline/oracle_portable", "encode/nsa_compress"]) {
    const other = findVariant(name);
    const why = other.refuses(p, other.defaults(p, testDevice.limits), testDevice.limits);
    assertMatch(why ?? "", /^rows of V have 128 elements, those of K 64, and it takes equal ones$/);
  }
  const params = nsa.defaults(p, testDevice.limits);
  assertEquals(nsa.refuses(p, params, testDevice.limits), undefined);
});
