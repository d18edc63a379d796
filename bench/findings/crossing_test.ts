import { assertEquals } from "@std/assert";
import { type Crossing, crossingOf } from "./crossing.ts";

const crossing = (...points: [kvLen: number, speedup: number][]) =>
  crossingOf(points.map(([kvLen, speedup]) => ({ kvLen, speedup })));

Deno.test("crossingOf() lies between two measured lengths and holds for all longer ones", () => {
  const crossed: Crossing = { kind: "crossed", belowKvLen: 4096, fromKvLen: 8192 };
  assertEquals(crossing([4096, 0.9], [8192, 1.1], [32768, 2]), crossed);
  assertEquals(crossing([32768, 2], [8192, 1.1], [4096, 0.9]), crossed, "in any order");
  assertEquals(crossing([1024, 1.2], [4096, 0.9], [8192, 1.1]), crossed, "an early win is no win");
});

Deno.test("crossingOf() has no crossing without both a loss and a win", () => {
  assertEquals(crossing([8192, 1.2], [4096, 1.01]), { kind: "always", fromKvLen: 4096 });
  assertEquals(crossing([8192, 0.9], [4096, 0.5]), { kind: "never", toKvLen: 8192 });
  assertEquals(crossing([4096, 1]), { kind: "never", toKvLen: 4096 });
  assertEquals(crossing([4096, 1.5], [8192, 0.9]), { kind: "mixed", toKvLen: 8192 });
  assertEquals(crossing(), null);
});

Deno.test("crossingOf() counts a length measured twice as a win only if both are wins", () => {
  assertEquals(crossing([4096, 1.2], [4096, 0.9], [8192, 2]), {
    kind: "crossed",
    belowKvLen: 4096,
    fromKvLen: 8192,
  });
  assertEquals(crossing([4096, NaN]), { kind: "never", toKvLen: 4096 });
});
