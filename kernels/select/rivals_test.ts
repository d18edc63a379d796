import { assertEquals } from "@std/assert";
import { createRandom } from "../../fixtures/random.ts";
import type { DeviceLimits, HandOver, Variant } from "../core/variant.ts";
import { DEFAULT_LIMITS, LARGE_LIMITS } from "../core/device_limits.ts";
import { listCapacity, listHeads, tiesOf, windowsOf } from "../core/problem/derived.ts";
import type { Problem } from "../core/problem/problem.ts";
import { openTestDevice, runVariant } from "../../testing/device/test_device.ts";
import { type Factors, rivalGridOf, testCase } from "../../testing/cases/grid.ts";
import { testStage } from "../../testing/cases/suite.ts";
import { HAND_OVER_CODE } from "../merge/hand_over.ts";
import { radix, radixPages, radixShares } from "./radix.ts";
import { selectScoresReference } from "./reference.ts";

const testDevice = await openTestDevice();
const small = testCase({ heads: [8, 2], sharing: "group", lengths: [600, 37], capacity: 1040 });
const one = { heads: [4, 1] } as const;

const grid = rivalGridOf("select");

testStage("select", testDevice, small, {
  "k beyond the middle": testCase({ ...one, topK: { count: 0xffffffff }, windows: [3, 5] }),
  "windows that overlap": testCase({ ...one, lengths: [90, 7], windows: [64, 64] }),
}, { variants: [radix], grid });
testStage("select", testDevice, small, {}, { variants: [radixShares], grid, parameterSets: 3 });

// Lists of pages are those of query heads. Their grid is longer, since a page has 16 tokens.
testStage("select", testDevice, testCase({ heads: [8, 2], lengths: [600, 37], capacity: 1040 }), {
  "k beyond the middle": testCase({ ...one, topK: { count: 0xffffffff }, windows: [3, 5] }),
  "windows that overlap": testCase({ ...one, lengths: [90, 7], windows: [64, 64] }),
}, { variants: [radixPages], grid, parameterSets: 3 });

/** One list's scores; `at` counts its tokens. */
type Scores = (at: number, random: ReturnType<typeof createRandom>) => number;

const BITS = new Uint32Array(1);
const AS_FLOAT = new Float32Array(BITS.buffer);

/** The f32 of the bits; JavaScript may change those of a NaN, but keeps it a NaN. */
function floatOf(bits: number): number {
  BITS[0] = bits;
  return AS_FLOAT[0];
}

const ADVERSARIAL: Readonly<Record<string, Scores>> = {
  "a normal distribution": (_, random) => random.normal(),
  "any bits": (_, random) => floatOf(random.uint32()),
  "all equal": () => 0.7,
  "all equal and negative": () => -41,
  "zeros of both signs": (at) => at % 3 === 0 ? -0 : 0,
  "all NaN": () => NaN,
  "all -inf": () => -Infinity,
  "mostly NaN and infinities": (_, random) =>
    [NaN, Infinity, -Infinity, NaN, 1, -1][random.uint32() % 6],
  "denormals of both signs and zeros": (_, random) =>
    floatOf(random.uint32() % 50 + (random.uint32() % 2) * 2 ** 31),
  "two values": (_, random) => random.uniform() < 0.9 ? 2 : 1,
  "two values one bit apart": (_, random) => floatOf(0x40490fdb + random.uint32() % 2),
  "one bin": (_, random) => floatOf(0x41000000 + random.uint32() % (1 << 15)),
  "one negative bin": (_, random) => floatOf(0xc1000000 + random.uint32() % (1 << 15)),
  "the bin of the largest": (_, random) => 1e30 * (1 + random.uniform()),
  "the bin of the lowest": (_, random) => -1e30 * (1 + random.uniform()),
  "the bin of small values": (_, random) => 1e-9 * (random.uniform() - 0.5),
  "ascending": (at) => at - 2000,
  "descending": (at) => 2000 - at,
  "an offset and little else": (_, random) => 300 + random.normal(),
  "few of many bits": (at, random) => 1 + (at % 7) * 2 ** -23 + Math.floor(3 * random.uniform()),
};

/** Runs the select on the kinds of scores, a list of each, and checks every list. */
async function assertLists(
  variant: Variant,
  factors: Partial<Factors>,
  changes: Readonly<Record<string, number>> = {},
): Promise<void> {
  const kinds = Object.entries(ADVERSARIAL);
  const heads = [kinds.length, 2] as const;
  const { p, options } = testCase({ ...factors, heads });
  const params = { ...variant.defaults(p, testDevice.limits), ...changes };
  assertEquals(variant.refuses(p, params, testDevice.limits), undefined);
  const scores = new Float32Array(p.batch * heads[0] * p.capacity).fill(Infinity);
  const random = createRandom(1, 7);
  for (let list = 0; list < p.batch * heads[0]; list++) {
    const length = options.lengths[Math.floor(list / heads[0])];
    const [, scoreOf] = kinds[list % heads[0]];
    for (let at = 0; at < length; at++) scores[list * p.capacity + at] = scoreOf(at, random);
  }
  const inputs = { lengths: Uint32Array.from(options.lengths), scores };
  const read = await runVariant(testDevice, variant, p, params, inputs);
  const words = async (name: string, from: number, count: number) =>
    new Uint32Array((await read(name, 4 * from, 4 * count)).slice().buffer);
  for (let list = 0; list < p.batch * heads[0]; list++) {
    const want = wanted(p, scores, list, options.lengths);
    const where = `${kinds[list % heads[0]][0]}, list ${list} of ${JSON.stringify(factors)}`;
    assertEquals((await words("selected_counts", list, 1))[0], want.length, where);
    const got = await words("selected", list * listCapacity(p), want.length);
    assertEquals(got.sort(), want, where);
  }
}

function wanted(
  p: Problem,
  scores: Float32Array,
  list: number,
  lengths: readonly number[],
): Uint32Array {
  const length = lengths[Math.floor(list / listHeads(p))];
  const own = scores.subarray(list * p.capacity, list * p.capacity + length);
  return selectScoresReference(own, windowsOf(p, length), tiesOf(p));
}

const LENGTHS = [4999, 513, 2048];
const SHAPE = { lengths: LENGTHS, capacity: 5008 } as const;
const WHOLE = { DISPATCHES: 1, WORKGROUP: 256, LOADS: 8 };

for (const [i, count] of [1, 300, 2047, 4990].entries()) {
  const ties = i % 2 === 0 ? "lower" : "higher";
  Deno.test(`select/radix: adversarial scores, k = ${count}, the ${ties} index wins`, () =>
    assertLists(radix, { ...SHAPE, topK: { count }, ties }, WHOLE));
}

Deno.test("select/radix: adversarial scores with other bins and counters", () =>
  assertLists(
    radix,
    { ...SHAPE, topK: { count: 4998 }, windows: [0, 0], ties: "higher" },
    { DISPATCHES: 1, WORKGROUP: 1024, LOADS: 2, COPIES: 2, BINS: 1024, SHIFT: 17, FINALISTS: 16 },
  ));

Deno.test("select/radix_shares: adversarial scores, k = 300, the lower index wins", () =>
  assertLists(radixShares, { ...SHAPE, topK: { count: 300 } }));

Deno.test("select/radix_shares: adversarial scores, all but the worst, the higher index wins", () =>
  assertLists(
    radixShares,
    { ...SHAPE, topK: { count: 4998 }, windows: [0, 0], ties: "higher" },
    {
      WORKGROUP: 512,
      LOADS: 1,
      BINS: 4096,
      FINALISTS: 128,
      "finish.WORKGROUP": 1024,
      AHEAD: 8,
      HAND_OVER: HAND_OVER_CODE.dispatch,
    },
  ));

Deno.test("select/radix_shares: adversarial scores, small workgroups and few bins", () =>
  assertLists(radixShares, { ...SHAPE, topK: { sparsity: 8 }, windows: [0, 0] }, {
    WORKGROUP: 128,
    LOADS: 8,
    BINS: 1024,
    SHIFT: 17,
    FINALISTS: 16,
    "finish.WORKGROUP": 128,
    AHEAD: 1,
  }));

Deno.test("select/radix: the defaults take one dispatch where a device holds the list", () => {
  const dispatches = (limits: DeviceLimits, kvLen: number) => {
    const { p } = testCase({ heads: [32, 8], lengths: [kvLen] });
    const params = radix.defaults(p, limits);
    assertEquals(radix.refuses(p, params, limits), undefined);
    return radix.plan(p, params).dispatches.length;
  };
  const lengths = [16, 4096, 4112, 8192, 8208, 131072];
  const large = (handOver: HandOver) => ({ ...LARGE_LIMITS, handOver });
  assertEquals(lengths.map((each) => dispatches(DEFAULT_LIMITS, each)), [1, 1, 3, 3, 3, 3]);
  assertEquals(lengths.map((each) => dispatches(large("dispatch"), each)), [1, 1, 1, 1, 3, 3]);
  assertEquals(lengths.map((each) => dispatches(large("barrier"), each)), [1, 1, 1, 1, 2, 2]);
});

Deno.test("selectScoresReference() puts NaN last, and takes -0 for +0", () => {
  const p = { sink: 0, recent: 0, topK: { count: 3 } };
  const scores = [NaN, -0, -Infinity, 0, NaN, -1];
  const windows = windowsOf(p, scores.length);
  assertEquals([...selectScoresReference(scores, windows)], [1, 3, 5]);
  const most = windowsOf({ ...p, topK: { count: 5 } }, scores.length);
  assertEquals([...selectScoresReference(scores, most)], [0, 1, 2, 3, 5]);
  assertEquals([...selectScoresReference(scores, most, "higher")], [1, 2, 3, 4, 5]);
  const first = windowsOf({ ...p, topK: { count: 1 } }, scores.length);
  assertEquals([...selectScoresReference(scores, first, "higher")], [3]);
});
