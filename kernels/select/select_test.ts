import { assert, assertEquals } from "@std/assert";
import fc from "fast-check";
import { CODE_KINDS, type CodeKind } from "../../fixtures/generate.ts";
import { createRandom } from "../../fixtures/random.ts";
import type { Variant } from "../core/variant.ts";
import {
  distanceBytes,
  listCapacity,
  listHeads,
  maxDistance,
  tiesOf,
  windowsOf,
} from "../core/problem/derived.ts";
import { histogramReference } from "../score/reference.ts";
import { canRun, openTestDevice, runVariant } from "../../testing/device/test_device.ts";
import { type Factors, testCase } from "../../testing/cases/grid.ts";
import { assertCorrect, testStage, variantsOf } from "../../testing/cases/suite.ts";
import { counting } from "./counting.ts";
import { countingSubgroup } from "./counting_subgroup.ts";
import { selectReference } from "./reference.ts";

const testDevice = await openTestDevice();
const small = testCase({ heads: [8, 2], sharing: "group", lengths: [600, 37], capacity: 1040 });
const one = { heads: [4, 1] } as const;

testStage("select", testDevice, small, {
  "one token, selected or not": testCase({ ...one, lengths: [1, 1], windows: [0, 0] }),
  "k = 0 and no windows": testCase({ ...one, topK: { count: 0 }, windows: [0, 0] }),
  "k as large as the middle": testCase({ ...one, topK: { count: 257 - 12 } }),
  "k beyond the middle": testCase({ ...one, topK: { count: 0xffffffff }, windows: [3, 5] }),
  "all distances equal over several blocks": testCase({
    ...one,
    lengths: [1543],
    codeKind: "all-equal",
  }),
  "all distances equal, the highest index wins": testCase({
    ...one,
    lengths: [1543, 700],
    codeKind: "all-equal",
    ties: "higher",
  }),
  "all distances equal in a full cache, the highest index wins": testCase({
    ...one,
    lengths: [1040, 16],
    capacity: 1040,
    windows: [0, 0],
    topK: { count: 100 },
    codeKind: "all-equal",
    ties: "higher",
  }),
  "every code all ones": testCase({ ...one, lengths: [509], codeKind: "all-ones" }),
  "a full cache": testCase({ ...one, lengths: [1040, 16], capacity: 1040, windows: [0, 0] }),
  "windows that overlap": testCase({ ...one, lengths: [90, 7], windows: [64, 64] }),
  "distances of two bytes": testCase({
    heads: [64, 1],
    bits: 64,
    sharing: "group",
    lengths: [1031],
  }),
});

/** Few values of k and of the windows, since each needs its own shader; any lengths and codes. */
const cases = fc.record({
  shape: fc.constantFrom<Partial<Factors>>(
    { topK: { sparsity: 8 }, windows: [4, 8] },
    { topK: { sparsity: 8 }, windows: [4, 8], ties: "higher" },
    { topK: { count: 100 }, windows: [0, 0], ties: "higher" },
    { topK: { sparsity: 1 }, windows: [0, 3] },
  ),
  bits: fc.constantFrom(32, 128),
  lengths: fc.array(fc.integer({ min: 1, max: 1100 }), { minLength: 2, maxLength: 2 }),
  codeKind: fc.constantFrom<CodeKind>(...CODE_KINDS),
  seed: fc.nat(1e6),
});

for (const variant of variantsOf("select")) {
  Deno.test(`${variant.name}: property: selects the reference's tokens on any input`, async () => {
    await fc.assert(
      fc.asyncProperty(cases, async ({ shape, bits, lengths, codeKind, seed }) => {
        const factors = { ...shape, bits, lengths, codeKind };
        const test = testCase({ heads: [2, 1], capacity: 1104, ...factors }, { seed });
        await assertCorrect(testDevice, variant, test);
      }),
      { seed: 1, numRuns: 60 },
    );
  });
}

/**
 * Runs a counting select on random distances from `values`, and checks every list. Distances and
 * histograms past a sequence's length are poison.
 */
async function assertLists(
  variant: Variant,
  factors: Partial<Factors>,
  changes: Readonly<Record<string, number>>,
  values: (largest: number) => readonly number[],
): Promise<void> {
  const { p, options: { lengths } } = testCase({ heads: [2, 1], ...factors });
  const params = { ...variant.defaults(p, testDevice.limits), ...changes };
  assertEquals(variant.refuses(p, params, testDevice.limits), undefined);
  const bins = maxDistance(p) + 1;
  const rows = listHeads(p) * p.batch;
  const blocks = Math.ceil(p.capacity / params.BLOCK);
  const bytes = new Uint8Array(rows * p.capacity * distanceBytes(p)).fill(0xff);
  const packed = distanceBytes(p) === 1 ? bytes : new Uint16Array(bytes.buffer);
  const histograms = new Uint32Array(rows * blocks * bins).fill(0xffffffff);
  const random = createRandom(1, 7);
  const choice = values(maxDistance(p));
  const wanted = Array.from({ length: rows }, (_, row) => {
    const length = lengths[Math.floor(row / listHeads(p))];
    const windows = windowsOf(p, length);
    const distances = Uint16Array.from(
      { length },
      () => choice[Math.floor(choice.length * random.uniform())],
    );
    packed.set(distances, row * p.capacity);
    const counts = histogramReference(distances, params.BLOCK, windows, bins);
    histograms.set(counts, row * blocks * bins);
    return selectReference(distances, windows, tiesOf(p));
  });
  const inputs = {
    lengths: Uint32Array.from(lengths),
    distances: bytes,
    block_histograms: histograms,
  };
  const read = await runVariant(testDevice, variant, p, params, inputs);
  for (const [row, want] of wanted.entries()) {
    const where = `${variant.name} ${JSON.stringify([factors, changes])}, list ${row}`;
    const list = (await read("selected", 4 * row * listCapacity(p), 4 * want.length)).slice();
    const count = (await read("selected_counts", 4 * row, 4)).slice();
    assertEquals(new Uint32Array(list.buffer), want, where);
    assertEquals(new Uint32Array(count.buffer)[0], want.length, where);
  }
}

for (const variant of [counting, countingSubgroup]) {
  const ignore = !canRun(testDevice, variant);
  const lengths = [4999, 513, 2048];
  const smallest = { BLOCK: 512, WORKGROUP: 64, TOKENS: 16 };

  Deno.test({
    name: `${variant.name}: lists ascend for any shares and any window length`,
    ignore,
    async fn() {
      const shape = { lengths, capacity: 5008, topK: { sparsity: 8 } } as const;
      for (
        const [i, [SPLITS, WORKGROUP, TOKENS]] of [
          [1, 64, 16], // one workgroup with ten windows
          [3, 64, 16], // two windows per workgroup, and a shorter last share
          [4, 128, 32], // half a window per workgroup
          [4096, 64, 32], // one block per workgroup
        ].entries()
      ) {
        const factors = { ...shape, ties: i % 2 === 0 ? "lower" : "higher" } as const;
        const changes = { ...smallest, SPLITS, WORKGROUP, TOKENS };
        await assertLists(variant, factors, changes, (last) => [...Array(last + 1).keys()]);
      }
    },
  });

  Deno.test({
    name: `${variant.name}: finds the threshold in the first, the last and the only bin`,
    ignore,
    async fn() {
      const shapes: Partial<Factors>[] = [
        {}, // 33 bins
        { bits: 128 }, // 129 bins: distances use all bits of a byte
        { heads: [14, 2], sharing: "group" }, // 225 bins, the most in a byte for a group of 7
        { heads: [16, 2], sharing: "group", bits: 64 }, // 513 bins: distances of two bytes
      ];
      for (const [s, shape] of shapes.entries()) {
        for (const [i, count] of [0, 1, 300, 3000, 4990].entries()) {
          // Every shape and every count has both rules.
          const ties = (s + i) % 2 === 0 ? "lower" : "higher";
          const factors = { lengths, capacity: 5008, topK: { count }, ties, ...shape } as const;
          const changes = { ...smallest, SPLITS: 3 };
          await assertLists(variant, factors, changes, (last) => [0, last]);
          await assertLists(variant, factors, changes, (last) => [last]);
        }
      }
    },
  });
}

Deno.test("refuses() of counting selects names the limit of the device", () => {
  const { p } = small;
  const limits = { ...testDevice.limits, maxComputeWorkgroupStorageSize: 1000 };
  for (const variant of [counting, countingSubgroup]) {
    const params = { ...variant.defaults(p, limits), SUBGROUP_MIN: 32 };
    const why = variant.refuses(p, params, limits);
    assert(why?.endsWith("bytes of workgroup memory, this device allows 1000"), why);
  }
  const params = { ...countingSubgroup.defaults(p, limits), WORKGROUP: 64, SUBGROUP_MIN: 128 };
  const why = countingSubgroup.refuses(p, params, testDevice.limits);
  assertEquals(why, "64 threads do not fill a subgroup of 128");
});

Deno.test("selectReference() takes exactly k, and the index of equal distances by the rule", () => {
  const p = { ...small.p, sink: 1, recent: 2, topK: { count: 2 } };
  const distances = [0, 5, 3, 3, 1, 3, 0, 0];
  const { sinkEnd, recentStart } = windowsOf(p, 8);
  assertEquals([sinkEnd, recentStart], [1, 6]);
  assertEquals([...selectReference(distances, windowsOf(p, 8))], [0, 2, 4, 6, 7]);
  assertEquals([...selectReference(distances, windowsOf(p, 8), "higher")], [0, 4, 5, 6, 7]);
});

Deno.test("property: selectReference() takes the nearest middle tokens", () => {
  fc.assert(fc.property(
    fc.array(fc.nat(6), { minLength: 1, maxLength: 50 }),
    fc.nat(60),
    fc.nat(20),
    fc.nat(20),
    (distances, count, sink, recent) => {
      const windows = windowsOf({ ...small.p, sink, recent, topK: { count } }, distances.length);
      const tokens = [...selectReference(distances, windows)];
      assertEquals(tokens, [...new Set(tokens)].sort((a, b) => a - b));
      const middle = distances.map((d, i) => ({ d, i }))
        .slice(windows.sinkEnd, windows.recentStart);
      const picks = middle.filter(({ i }) => tokens.includes(i));
      assertEquals(picks.length, Math.min(count, middle.length));
      for (const left of middle.filter(({ i }) => !tokens.includes(i))) {
        const better = picks.every(({ d, i }) => d < left.d || (d === left.d && i < left.i));
        assertEquals(better, true);
      }
    },
  ));
});
