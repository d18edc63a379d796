import { assertEquals } from "@std/assert";
import fc from "fast-check";
import { cheapest } from "./ranking.ts";

for (const ties of ["lower", "higher"] as const) {
  Deno.test(`cheapest() orders tokens by cost and then the ${ties} one first`, () => {
    const costs = fc.array(fc.oneof(fc.integer({ min: 0, max: 3 }), fc.double({ noNaN: true })));
    fc.assert(fc.property(costs, fc.nat(40), fc.nat(40), fc.nat(40), (costs, a, b, count) => {
      const start = Math.min(a, b, costs.length);
      const end = Math.min(Math.max(a, b), costs.length);
      const before = (a: number, b: number) => ties === "lower" ? a - b : b - a;
      const sorted = Array.from({ length: end - start }, (_, i) => start + i)
        .sort((a, b) => costs[a] < costs[b] ? -1 : costs[a] > costs[b] ? 1 : before(a, b));
      assertEquals([...cheapest(costs, start, end, count, ties)], sorted.slice(0, count));
    }));
  });
}

Deno.test("cheapest() takes the lowest tokens of equal costs unless told otherwise", () => {
  const costs = new Uint8Array(10);
  assertEquals([...cheapest(costs, 2, 8, 3)], [2, 3, 4]);
  assertEquals([...cheapest(costs, 2, 8, 3, "higher")], [7, 6, 5]);
});

Deno.test("cheapest() takes nothing of an empty range or budget", () => {
  assertEquals(cheapest([1, 2, 3], 0, 3, 0).length, 0);
  assertEquals(cheapest([1, 2, 3], 2, 2, 5).length, 0);
  assertEquals(cheapest([1, 2, 3], 2, 1, 5).length, 0);
});
