import { assert, assertEquals, assertLessOrEqual } from "@std/assert";
import fc from "fast-check";
import { BATCH, beats, FINALISTS, roundSizes } from "./halving.ts";

Deno.test("rounds shrink to the finalists, and one timing call holds each", () => {
  fc.assert(fc.property(fc.integer({ min: 2, max: 5000 }), (candidates) => {
    const sizes = roundSizes(candidates);
    assertEquals(sizes.at(-1), Math.min(candidates, FINALISTS));
    for (const [i, size] of sizes.entries()) {
      assertLessOrEqual(size, BATCH);
      assert(i === 0 || size < sizes[i - 1]);
    }
  }));
  assertEquals(roundSizes(100), [14, 4]);
  assertEquals(roundSizes(24), [8, 4]);
  assertEquals([roundSizes(0), roundSizes(1)], [[], [1]]);
});

Deno.test("what noise could make beats nothing", () => {
  const defaults = { us: 10, low: 9.8, high: 10.2 };
  assert(beats({ us: 9, low: 8.9, high: 9.1 }, defaults));
  assert(!beats({ us: 9.7, low: 9.5, high: 9.9 }, defaults));
});
