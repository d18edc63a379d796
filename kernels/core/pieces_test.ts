import { assert, assertEquals, AssertionError, assertMatch, assertRejects } from "@std/assert";
import { prepare } from "../../bench/measure/prepared_variant.ts";
import { emulated, hasMatrices } from "../../testing/device/emulated_matrices.ts";
import { canRun, openTestDevice } from "../../testing/device/test_device.ts";
import { rotatedCase, type TestCase, testCase } from "../../testing/cases/grid.ts";
import { limitsForHeads, piecedInputs } from "../../testing/inputs/pieces.ts";
import { plant } from "../../tools/mutation/mutants.ts";
import { ReplaceableKernel } from "../../tools/mutation/kernel_tests.ts";
import { LARGE_LIMITS } from "./device_limits.ts";
import { dealKernel, pieceProblem, piecesOf, planOn } from "./pieces.ts";
import { findVariant, VARIANTS } from "./registry.ts";
import type { Variant } from "./variant.ts";

const testDevice = await openTestDevice();

/** Asserts that a variant in pieces computes what the references do, twice on the same scratch. */
async function assertPieces(
  variant: Variant,
  { p, options }: TestCase,
  heads: number,
): Promise<void> {
  const limits = limitsForHeads(testDevice.limits, p, heads);
  const params = variant.defaults(p, limits);
  assertEquals(variant.refuses(p, params, limits), undefined, variant.name);
  const inputs = piecedInputs(testDevice, limits, variant, p, params, options);
  const prepared = await prepare(inputs, variant, params, { hot: true, layers: 1 });
  for (const run of [1, 2]) {
    const found = await prepared.verify(0);
    assert(found.ok, `${variant.name}, run ${run}: ${JSON.stringify(found)}`);
  }
  prepared.destroy();
  inputs.destroy();
}

const BY_MAP = testCase({ heads: [16, 4], headDim: 64, lengths: [300], capacity: 512, layers: 1 });
const SHARED = testCase({
  heads: [16, 4],
  headDim: 64,
  lengths: [300],
  capacity: 512,
  layers: 1,
  bits: 128,
  sharing: "group",
});
const ROTATED = rotatedCase({
  heads: [6, 6],
  headDim: 64,
  lengths: [300],
  capacity: 512,
  centre: true,
});

/** Variants whose buffers cannot be divided. */
const WHOLE = ["prefill/flash", "prefill/flash_matrix", "dense/token_pool"];

const HALVES = testCase({
  heads: [16, 4],
  headDim: 64,
  dtype: "f16",
  lengths: [300],
  capacity: 512,
});

const divided = VARIANTS.filter(({ name, sharedPrefix }) =>
  !WHOLE.includes(name) && sharedPrefix !== "only"
);
for (const variant of divided) {
  const test = [BY_MAP, SHARED, ROTATED, HALVES].find(({ p }) => {
    const limits = limitsForHeads(testDevice.limits, p, 2);
    return !variant.refuses(p, variant.defaults(p, limits), limits);
  });
  Deno.test({
    name: `${variant.name} computes the same in pieces of two KV heads`,
    ignore: !canRun(testDevice, variant),
    fn: () => assertPieces(hasMatrices(testDevice.device) ? variant : emulated(variant), test!, 2),
  });
}

const ONE_SEQUENCE = testCase({ heads: [8, 4], lengths: [300], capacity: 512 });
const BATCH = { lengths: [300, 512, 1, 77], headDim: 64, capacity: 512 } as const;
for (
  const [what, name, test, heads] of [
    ["two sequences", "dense/split", testCase({ ...BATCH, heads: [4, 2] }), 4],
    ["two sequences", "pipeline/sparse_two", testCase({ ...BATCH, heads: [4, 1], layers: 1 }), 2],
    [
      "a KV head of a sequence",
      "pipeline/rotated_short",
      rotatedCase({ ...BATCH, heads: [6, 2] }),
      1,
    ],
    [
      "a KV head of a sequence",
      "encode/rotate_prompt",
      rotatedCase({ ...BATCH, heads: [6, 2] }),
      1,
    ],
    ["a KV head", "pipeline/oracle_portable", testCase({ ...BATCH, heads: [6, 2] }), 1],
    ["a KV head", "pipeline/quest_portable", testCase({ ...BATCH, heads: [6, 2] }), 1],
    ["two sequences", "pipeline/quest", testCase({ ...BATCH, heads: [6, 2] }), 4],
    ["a KV head", "pipeline/double_sparsity", ONE_SEQUENCE, 1],
    ["a KV head", "pipeline/double_sparsity_head", ONE_SEQUENCE, 1],
    ["two KV heads", "pipeline/double_sparsity_packed", ONE_SEQUENCE, 2],
    ["a KV head", "pipeline/pq_8_portable", testCase({ ...BATCH, heads: [6, 2] }), 1],
    ["a KV head", "pipeline/pq_2", testCase({ ...BATCH, heads: [6, 2] }), 1],
    ["a KV head", "encode/pq_train_4", testCase({ ...BATCH, lengths: [70, 9], heads: [6, 2] }), 1],
  ] as const
) {
  const variant = findVariant(name);
  Deno.test({
    name: `${name} computes the same in pieces of ${what}`,
    ignore: !canRun(testDevice, variant),
    fn: () => assertPieces(variant, test, heads),
  });
}

Deno.test("piecesOf() takes as many KV heads as divide evenly, then whole sequences", () => {
  const p = { ...BY_MAP.p, batch: 6, kvHeads: 12, qHeads: 24, lengths: [9, 8, 7, 6, 5, 4] };
  const shapes = (heads: number) => {
    const pieces = piecesOf(p, limitsForHeads(testDevice.limits, p, heads));
    if (!pieces) return undefined;
    const { count, perSequence, each: { batch, kvHeads, qHeads, lengths } } = pieces;
    assertEquals(lengths, undefined);
    return [count, perSequence, batch, kvHeads, qHeads];
  };
  assertEquals(shapes(72), undefined);
  assertEquals(shapes(71), [2, 1, 3, 12, 24]);
  assertEquals(shapes(35), [3, 1, 2, 12, 24]);
  assertEquals(shapes(12), [6, 1, 1, 12, 24]);
  assertEquals(shapes(11), [12, 2, 1, 6, 12]);
  assertEquals(shapes(5), [18, 3, 1, 4, 8]);
  assertEquals(shapes(1), [72, 12, 1, 1, 2]);
  assertEquals(shapes(0.99), undefined);
  const halves = piecesOf(p, limitsForHeads(testDevice.limits, p, 36))!;
  assertEquals(pieceProblem(p, halves, 1), { ...halves.each, lengths: [6, 5, 4], kvLen: 6 });
});

Deno.test("planOn() changes nothing where a binding holds K, and K alone decides", () => {
  for (const variant of VARIANTS) {
    const { p } = variant.codes === "rotated" ? ROTATED : BY_MAP;
    const limits = limitsForHeads(testDevice.limits, p, p.kvHeads);
    const params = variant.defaults(p, limits);
    assertEquals(planOn(variant, p, params, limits), variant.plan(p, params), variant.name);
  }
});

Deno.test("planOn() has the channels of labels once for all sequences", () => {
  const { p } = testCase({ ...BATCH, heads: [6, 2] });
  const variant = findVariant("pipeline/double_sparsity_head");
  const limits = limitsForHeads(testDevice.limits, p, 1);
  const { buffers, dispatches } = planOn(variant, p, variant.defaults(p, limits), limits);
  assertEquals(buffers.head_channels.bytes, 2 * 256);
  const starts = dispatches.flatMap(({ places }) => places?.head_channels?.offset ?? []);
  assertEquals(starts, [0, 256, 0, 256, 0, 256, 0, 256]);
});

Deno.test("an H100 runs 1,048,576 tokens of 8 KV heads in two pieces, dense and sparse", () => {
  const million = { heads: [32, 8], headDim: 128, capacity: 2 ** 20, lengths: [2 ** 20] } as const;
  const learned = testCase({ ...million, topK: { sparsity: 32 } });
  const few = rotatedCase({ ...million, topK: { sparsity: 160 }, windows: [128, 128] });
  const refusal = (name: string, { p }: TestCase) => {
    const variant = findVariant(name);
    return variant.refuses(p, variant.defaults(p, LARGE_LIMITS), LARGE_LIMITS);
  };
  for (
    const [name, test] of [
      ["dense/split_subgroup", learned],
      ["pipeline/sparse_three", learned],
      ["pipeline/sparse_four", learned],
      ["pipeline/rotated_short", few],
      ["pipeline/rotated_two", few],
      ["pipeline/rotated_three", few],
      ["pipeline/rotated_four", few],
    ] as const
  ) {
    assertEquals(refusal(name, test), undefined, name);
    const variant = findVariant(name);
    const params = variant.defaults(test.p, LARGE_LIMITS);
    const { buffers, dispatches } = planOn(variant, test.p, params, LARGE_LIMITS);
    assertEquals([buffers.keys.bytes, buffers.keys.bound], [2 ** 31, 2 ** 30]);
    const parts = dispatches.flatMap(({ places }) => places?.keys?.offset ?? []);
    assertEquals([...new Set(parts)], [0, 2 ** 30], name);
  }
  assertMatch(
    refusal("pipeline/sparse_two", learned) ?? "",
    /bytes of workgroup memory, this device allows 49152; pipeline\/sparse_three is for longer caches$/,
  );
});

Deno.test("a variant whose tokens come before heads is refused beyond a binding", () => {
  for (const name of WHOLE) {
    const { p } = BY_MAP;
    const limits = limitsForHeads(testDevice.limits, p, 2);
    const variant = findVariant(name);
    const why = variant.refuses(p, variant.defaults(p, limits), limits);
    assertMatch(why ?? "", /^buffer \w+ needs \d+ bytes, this device binds 131072 at most$/);
  }
});

/** Wrong signs in deal.wgsl, and a case of two sequences or heads that each of them spoils. */
const MUTANTS: readonly [string, string, TestCase, number][] = [
  ["piece % SEQUENCE_PIECES * PIECE_HEADS + i", "i", testCase({ ...BATCH, heads: [4, 2] }), 1],
  ["piece / SEQUENCE_PIECES * PIECE_SEQUENCES + i", "i", testCase({ ...BATCH, heads: [4, 2] }), 4],
  ["piece * LENGTHS_STRIDE + i", "i", testCase({ ...BATCH, heads: [4, 2] }), 4],
  ["piece * SINKS_STRIDE + i", "i", testCase({ ...BATCH, heads: [4, 2] }), 1],
];
Deno.test("core/deal: every wrong sign is noticed", async () => {
  const deal = new ReplaceableKernel([dealKernel]);
  const dense = findVariant("dense/split");
  for (const [find, replace, test, heads] of MUTANTS) {
    deal.source = plant(deal.original, { kernel: "core/deal", find, replace });
    await assertRejects(
      () => assertPieces(dense, test, heads),
      AssertionError,
      "dense/split",
      find,
    );
  }
  deal.source = deal.original;
});

Deno.test("pieces: no GPU error went uncaught", () => assertEquals(testDevice.uncaptured, []));
