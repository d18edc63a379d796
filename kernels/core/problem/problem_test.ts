import { assertEquals, assertThrows } from "@std/assert";
import fc from "fast-check";
import { checkProblem } from "./check_problem.ts";
import { cacheRows, rowRuns } from "./cache_layout.ts";
import {
  cachedTokens,
  codeHeads,
  distanceBytes,
  distinctTokens,
  lengthOf,
  listCapacity,
  mapLayers,
  mapNumbers,
  maxDistance,
  queriesPerList,
  roundCapacity,
  shapeName,
  windowsOf,
} from "./derived.ts";
import type { Problem } from "./problem.ts";

const P: Problem = {
  batch: 2,
  qHeads: 40,
  kvHeads: 8,
  headDim: 128,
  kvLen: 1000,
  capacity: 1008,
  dtype: "f16",
  bits: 32,
  sharing: "head",
  map: { layers: 3, hidden: 128, dtype: "f16" },
  topK: { sparsity: 32 },
  sink: 128,
  recent: 128,
};

Deno.test("codeHeads() and queriesPerList() follow whether a group shares a code", () => {
  assertEquals([codeHeads(P), queriesPerList(P), maxDistance(P), distanceBytes(P)], [40, 1, 32, 1]);
  const group: Problem = { ...P, sharing: "group" };
  assertEquals([codeHeads(group), queriesPerList(group)], [8, 5]);
  assertEquals([maxDistance(group), distanceBytes(group)], [160, 1]);
  const wide: Problem = { ...group, bits: 64 };
  assertEquals([maxDistance(wide), distanceBytes(wide)], [320, 2]);
});

Deno.test("distanceBytes() is 1 for distances up to 255", () => {
  const bytesOf = (group: number) =>
    distanceBytes({ ...P, qHeads: group, kvHeads: 1, sharing: "group" });
  assertEquals([bytesOf(7), bytesOf(8)], [1, 2]);
});

Deno.test("windowsOf() keeps every token once, and k counts only middle tokens", () => {
  const windows = (length: number) => windowsOf(P, length);
  assertEquals(windows(1000), { sinkEnd: 128, recentStart: 872, kEff: 31, attended: 287 });
  assertEquals(windows(1), { sinkEnd: 1, recentStart: 1, kEff: 0, attended: 1 });
  assertEquals(windows(200), { sinkEnd: 128, recentStart: 128, kEff: 0, attended: 200 });
  assertEquals(windows(260), { sinkEnd: 128, recentStart: 132, kEff: 4, attended: 260 });
});

Deno.test("windowsOf() attends nothing for a count of 0 and no windows", () => {
  const none: Problem = { ...P, topK: { count: 0 }, sink: 0, recent: 0 };
  assertEquals(windowsOf(none, 77), { sinkEnd: 0, recentStart: 77, kEff: 0, attended: 0 });
  assertEquals(listCapacity(none), 1);
});

Deno.test("property: windowsOf() is in order, and listCapacity() suffices at any length", () => {
  const number = fc.oneof(fc.nat(40), fc.constant(0xffffffff));
  const topK = fc.oneof(
    fc.record({ count: number }),
    fc.record({ sparsity: fc.integer({ min: 1, max: 40 }) }),
  );
  fc.assert(fc.property(number, number, topK, fc.integer({ min: 1, max: 96 }), (
    sink,
    recent,
    topK,
    length,
  ) => {
    const p: Problem = { ...P, capacity: 96, kvLen: 96, sink, recent, topK };
    const { sinkEnd, recentStart, kEff, attended } = windowsOf(p, length);
    const inOrder = 0 <= sinkEnd && sinkEnd <= recentStart && recentStart <= length;
    assertEquals([inOrder, kEff <= recentStart - sinkEnd], [true, true]);
    assertEquals(attended <= listCapacity(p), true);
  }));
});

Deno.test("mapLayers() gives the sizes of layers, mapNumbers() counts weights and biases", () => {
  assertEquals(mapLayers(P), [[128, 128], [128, 128], [128, 32]]);
  // ALGORITHM.md: 37,152 parameters per head.
  assertEquals(mapNumbers(P), 37152);
  const one: Problem = { ...P, map: { ...P.map, layers: 1 } };
  assertEquals(mapLayers(one), [[128, 32]]);
  assertEquals(mapNumbers(one), 128 * 32 + 32);
});

Deno.test("roundCapacity() gives multiples of 16, shapeName() names heads and head dim", () => {
  assertEquals([1, 16, 17, 8192].map(roundCapacity), [16, 16, 32, 8192]);
  assertEquals(shapeName(P), "40x8x128");
});

const WRONG: readonly (readonly [Partial<Problem>, string])[] = [
  [{ batch: 0 }, "batch"],
  [{ batch: 1.5 }, "batch"],
  [{ qHeads: 42 }, "whole multiple"],
  [{ qHeads: 0 }, "qHeads"],
  [{ kvHeads: 0 }, "kvHeads"],
  [{ qHeads: 520, kvHeads: 8 }, "group"],
  [{ headDim: 72 }, "headDim"],
  [{ kvLen: 0 }, "kvLen"],
  [{ kvLen: 1009 }, "kvLen"],
  [{ lengths: [1000] }, "one per sequence, got 1 for 2"],
  [{ lengths: [1000, 0] }, "each of lengths"],
  [{ lengths: [1001, 1000] }, "each of lengths must be a whole number from 1 to 1000"],
  [{ lengths: [999, 1] }, "the longest of lengths must be kvLen, which is 1000"],
  [{ capacity: 1000 }, "multiple of 16"],
  [{ capacity: 0 }, "capacity"],
  [{ dtype: "f8" as "f16" }, "dtype"],
  [{ bits: 48 }, "bits"],
  [{ sharing: "none" as "head" }, "sharing"],
  [{ map: { ...P.map, layers: 4 } }, "map.layers"],
  [{ map: { ...P.map, hidden: 100 } }, "map.hidden"],
  [{ map: { ...P.map, dtype: "bf16" as "f16" } }, "map.dtype"],
  [{ topK: { count: -1 } }, "k must"],
  [{ topK: { sparsity: 0 } }, "sparsity"],
  [{ sink: -1 }, "sink"],
  [{ prefix: 8 }, "prefix must be a multiple of 16 tokens, got 8"],
  [{ prefix: -16 }, "prefix must be a whole number from 0 to 992, got -16"],
  [{ prefix: 992, lengths: [1000, 992] }, "longer than the prefix of 992 tokens, got 992"],
  [{ recent: 0.5 }, "recent"],
];

Deno.test("rowRuns() places a shared prefix once, and the own tokens of each sequence behind it", () => {
  const p = { batch: 3, capacity: 48, prefix: 32 };
  assertEquals(cacheRows(p), 80);
  assertEquals(cacheRows({ ...p, prefix: 0 }), 144);
  const runs = (sequence: number, head: number, start: number, end: number) =>
    rowRuns(p, 2, { sequence, head }, [start, end]).map(({ first, count }) => [first, count]);
  assertEquals(runs(2, 1, 0, 48), [[32, 32], [64 + 5 * 16, 16]]);
  assertEquals(runs(1, 0, 10, 20), [[10, 10]]);
  assertEquals(runs(1, 0, 40, 41), [[64 + 2 * 16 + 8, 1]]);
  assertEquals(runs(0, 0, 7, 7), []);
  const all = [0, 1, 2].flatMap((sequence) =>
    [0, 1].flatMap((head) => rowRuns(p, 2, { sequence, head }, [sequence === 0 ? 0 : 32, 48]))
  );
  const rows = all.flatMap(({ first, count }) =>
    Array.from({ length: count }, (_, i) => first + i)
  );
  assertEquals(rows.sort((a, b) => a - b), Array.from({ length: 160 }, (_, i) => i));
  // Without a prefix these are the rows of a plain cache.
  const plain = rowRuns({ capacity: 48 }, 2, { sequence: 2, head: 1 }, [3, 9]);
  assertEquals(plain, [{ first: 5 * 48 + 3, count: 6 }]);
});

Deno.test("distinctTokens() counts a shared prefix once, cachedTokens() for each sequence", () => {
  const p: Problem = { ...P, prefix: 96, lengths: [1000, 100] };
  assertEquals([cachedTokens(p), distinctTokens(p)], [1100, 1004]);
});

Deno.test("checkProblem() accepts a valid problem", () => checkProblem(P));

Deno.test("cachedTokens() adds up the lengths of the sequences", () => {
  assertEquals([cachedTokens(P), lengthOf(P, 1)], [2000, 1000]);
  const unequal: Problem = { ...P, lengths: [1000, 1] };
  checkProblem(unequal);
  assertEquals([cachedTokens(unequal), lengthOf(unequal, 0), lengthOf(unequal, 1)], [
    1001,
    1000,
    1,
  ]);
});

for (const [change, message] of WRONG) {
  Deno.test(`checkProblem() refuses ${JSON.stringify(change)}`, () => {
    assertThrows(() => checkProblem({ ...P, ...change }), RangeError, message);
  });
}
