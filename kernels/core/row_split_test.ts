import { assertEquals, assertMatch } from "@std/assert";
import { testCase } from "../../testing/cases/grid.ts";
import { headsFor, lanesFor, refusesHeads, refusesRowSplit } from "./row_split.ts";

const rows = (headDim: number) => testCase({ headDim }).p;

Deno.test("lanesFor() shares a row evenly, or among more lanes if that leaves too much to each", () => {
  const lanes = (headDim: number, heads: number, most = 16) => lanesFor(rows(headDim), most, heads);
  assertEquals([64, 128, 256].map((headDim) => lanes(headDim, 4)), [8, 16, 16]);
  assertEquals([80, 96, 112, 192].map((headDim) => lanes(headDim, 1)), [16, 4, 16, 8]);
  assertEquals([80, 96, 112, 192].map((headDim) => lanes(headDim, 4)), [16, 16, 16, 16]);
  // Subgroups of 4.
  assertEquals([64, 80, 112, 192, 256].map((headDim) => lanes(headDim, 4, 4)), [4, 4, 4, 4, 4]);
});

Deno.test("refusesRowSplit() refuses lanes of which half have no load of their own", () => {
  const refusal = (LANES: number) => refusesRowSplit(rows(80), { WORKGROUP: 64, LANES });
  assertEquals([2, 4, 8, 16].map(refusal), Array(4).fill(undefined));
  assertMatch(refusal(32)!, /^32 lanes are too many for the 10 loads of a row$/);
});

Deno.test("headsFor() divides a group, and refusesHeads() refuses what does not", () => {
  const groups = [1, 4, 7, 8, 10, 16, 17, 24, 64];
  assertEquals(groups.map((group) => headsFor(group)), [1, 4, 7, 8, 5, 8, 1, 8, 8]);
  assertEquals(refusesHeads(24, { HEADS: 8 }), undefined);
  assertMatch(refusesHeads(24, { HEADS: 7 })!, /^workgroups of 7 query heads cannot share 24$/);
});
