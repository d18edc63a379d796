import { assertEquals } from "@std/assert";
import fc from "fast-check";
import { CODE_KINDS, type CodeKind } from "../../fixtures/generate.ts";
import { windowsOf } from "../problem.ts";
import { type Factors, testCase } from "../testing_grid.ts";
import { assertCorrect, contendersOf, openTestDevice, testStage } from "../testing_suite.ts";
import { selectReference } from "./reference.ts";

const testDevice = await openTestDevice();
const small = testCase({ heads: [8, 2], sharing: "group", lengths: [600, 37], capacity: 1040 });
const one = { heads: [4, 1] } as const;

testStage("select", testDevice, small, {
  "one token, taken or not": testCase({ ...one, lengths: [1, 1], windows: [0, 0] }),
  "k = 0 and no windows": testCase({ ...one, topK: { count: 0 }, windows: [0, 0] }),
  "k as large as the middle": testCase({ ...one, topK: { count: 257 - 12 } }),
  "k beyond the middle": testCase({ ...one, topK: { count: 0xffffffff }, windows: [3, 5] }),
  "all distances equal over several blocks": testCase({
    ...one,
    lengths: [1543],
    codeKind: "all-equal",
  }),
  "every code all ones": testCase({ ...one, lengths: [509], codeKind: "all-ones" }),
  "windows that overlap": testCase({ ...one, lengths: [90, 7], windows: [64, 64] }),
  "distances of two bytes": testCase({
    heads: [16, 1],
    bits: 128,
    sharing: "group",
    lengths: [1031],
  }),
});

/** Shaders differ by k and windows: few of these, and any lengths, codes and seeds. */
const cases = fc.record({
  shape: fc.constantFrom<Partial<Factors>>(
    { topK: { sparsity: 8 }, windows: [4, 8] },
    { topK: { count: 100 }, windows: [0, 0] },
    { topK: { sparsity: 1 }, windows: [0, 3] },
  ),
  bits: fc.constantFrom(32, 128),
  lengths: fc.array(fc.integer({ min: 1, max: 1100 }), { minLength: 2, maxLength: 2 }),
  codeKind: fc.constantFrom<CodeKind>(...CODE_KINDS),
  seed: fc.nat(1e6),
});

for (const contender of contendersOf("select")) {
  Deno.test(`${contender.name}: property: the reference's set on any input`, async () => {
    await fc.assert(
      fc.asyncProperty(cases, async ({ shape, bits, lengths, codeKind, seed }) => {
        const factors = { ...shape, bits, lengths, codeKind };
        const test = testCase({ heads: [2, 1], capacity: 1104, ...factors }, { seed });
        await assertCorrect(testDevice, contender, test);
      }),
      { seed: 1, numRuns: 60 },
    );
  });
}

Deno.test("the select reference takes exactly k, and of equal distances the lower index", () => {
  const p = { ...small.p, sink: 1, recent: 2, topK: { count: 2 } };
  const distances = [0, 5, 3, 3, 1, 3, 0, 0];
  assertEquals([...selectReference(distances, windowsOf(p, 8))], [0, 2, 4, 6, 7]);
});

Deno.test("property: the reference's picks are no worse than what it leaves", () => {
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
