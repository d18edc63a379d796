import { assertAlmostEquals, assertEquals } from "@std/assert";
import { gcd, rateOf, snapped } from "./clock_math.ts";

Deno.test("snapped() takes a rate within half a percent or within its own error of 1 for 1", () => {
  const rates: [nsPerTick: number, error: number, used: number][] = [
    [1.0049, 0, 1],
    [0.9951, 0.001, 1],
    [1.0051, 0.001, 1.0051],
    [1.046, 0.05, 1],
    [1.046, 0.04, 1.046],
    [1.2, 0.5, 1.2],
    [10, 0.05, 10],
    [83.3333, 0.0001, 83.3333],
  ];
  for (const [nsPerTick, error, used] of rates) assertEquals(snapped({ nsPerTick, error }), used);
});

Deno.test("rateOf() bounds the error by the marks' widths and the grain, over the span", () => {
  const mark = (ticks: bigint, submittedMs: number) => (
    { ticks, submittedMs, idleMs: submittedMs + 2 }
  );
  const { nsPerTick, error } = rateOf(mark(500n, 0), mark(100_000_500n, 1000), 1_000_000)!;
  assertEquals(nsPerTick, 10);
  assertAlmostEquals(error, 4 / 1000 + 0.01, 1e-12);
  for (const ticks of [500n, 0n]) assertEquals(rateOf(mark(500n, 0), mark(ticks, 1000), 1), null);
});

Deno.test("gcd() is never negative", () => {
  assertEquals([gcd(-12n, 18n), gcd(0n, -5n), gcd(7n, 0n), gcd(0n, 0n)], [6n, 5n, 7n, 0n]);
});
