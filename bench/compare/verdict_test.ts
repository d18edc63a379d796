import { assertAlmostEquals, assertEquals } from "@std/assert";
import { makeFailedRow, makeRow } from "../../testing/row.ts";
import { METRICS } from "./metrics.ts";
import { DEFAULT_LIMITS, limitPctOf, verdictOf, verify } from "./verdict.ts";

const timed = (us: number, half = 0) =>
  makeRow({
    median_us: us,
    ci_low_us: us - half,
    ci_high_us: us + half,
    gbytes_per_s: 2000 / us,
    roofline_pct: 1000 / us,
  });

Deno.test("sameness and change are shown by where the whole interval lies", () => {
  const verdict = (low: number, high: number) => verdictOf({ value: low, low, high }, 2);
  assertEquals(verdict(0.985, 1.015), "SAME");
  assertEquals(verdict(1 / 1.02, 1.02), "SAME");
  assertEquals(verdict(1.001, 1.019), "SAME");
  assertEquals(verdict(1.021, 1.05), "SLOWER");
  assertEquals(verdict(0.9, 0.98), "FASTER");
  assertEquals(verdict(1.01, 1.03), "UNSURE");
  assertEquals(verdict(0.9, 0.99), "UNSURE");
  assertEquals(verdict(0.9, 1.1), "UNSURE");
});

Deno.test("the allowance for drift weighs on short steps", () => {
  assertAlmostEquals(limitPctOf(5, DEFAULT_LIMITS), 4, 1e-12);
  assertAlmostEquals(limitPctOf(500, DEFAULT_LIMITS), 2.02, 1e-12);
  assertEquals(limitPctOf(5, { samePct: 1, driftUs: 0 }), 1);
});

Deno.test("every metric gives the verdict of the time, and its own ratio", () => {
  for (
    const [name, ratio] of [["time", 1.1], ["gbytes", 1 / 1.1], ["roofline", 1 / 1.1]] as const
  ) {
    const verified = verify(timed(100, 1), timed(110, 1), METRICS[name], DEFAULT_LIMITS);
    assertEquals([name, verified.verdict], [name, "SLOWER"]);
    assertAlmostEquals(verified.ratio!.value, ratio, 1e-12);
    assertEquals(verified.limitPct, 2.1);
    assertEquals(verify(timed(110), timed(100), METRICS[name], DEFAULT_LIMITS).verdict, "FASTER");
  }
});

Deno.test("a small card may win by the share of its own roofline", () => {
  const [large, small] = [timed(10), makeRow({ ...timed(100), roofline_pct: 120 })];
  assertEquals(verify(large, small, METRICS.time, DEFAULT_LIMITS).verdict, "SLOWER");
  assertEquals(verify(large, small, METRICS.roofline, DEFAULT_LIMITS).verdict, "FASTER");
});

Deno.test("rows without a number are FAILED or have NO VALUE", () => {
  const verdict = (from: typeof row, to: typeof row) =>
    verify(from, to, METRICS.gbytes, DEFAULT_LIMITS).verdict;
  const row = timed(10);
  const none = makeRow({ ...row, gbytes_per_s: null });
  assertEquals(verdict(row, makeFailedRow()), "FAILED");
  assertEquals(verdict(makeFailedRow(), row), "FAILED");
  assertEquals(verdict(row, none), "NO VALUE");
  assertEquals(verdict(none, none), "NO VALUE");
  assertEquals(verify(none, row, METRICS.gbytes, DEFAULT_LIMITS).estimate?.value, 200);
  assertEquals(verdict(makeRow({ ...row, median_us: 0, ci_low_us: 0 }), row), "NO VALUE");
});

Deno.test("an interval of no width survives being rounded apart from its median", () => {
  const rounded = { median_us: 10.0001, ci_low_us: 10.0002, ci_high_us: 10.0002 };
  assertEquals(verify(makeRow(rounded), makeRow(rounded), METRICS.time, DEFAULT_LIMITS), {
    verdict: "SAME",
    estimate: { value: 10.0001, low: 10.0001, high: 10.0001 * (10.0002 / 10.0001) },
    ratio: { value: 1, low: 10.0001 / 10.0002, high: 10.0002 / 10.0001 },
    limitPct: limitPctOf(10.0001, DEFAULT_LIMITS),
  });
});
