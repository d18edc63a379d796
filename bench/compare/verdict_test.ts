import { assertAlmostEquals, assertEquals } from "@std/assert";
import { makeFailedRow, makeRow } from "../../testing/row.ts";
import { METRICS } from "./metrics.ts";
import { comparePair, DEFAULT_LIMITS, limitPctOf, verdictOf } from "./verdict.ts";

const timed = (us: number, half = 0) =>
  makeRow({
    median_us: us,
    ci_low_us: us - half,
    ci_high_us: us + half,
    gbytes_per_s: 2000 / us,
    roofline_pct: 1000 / us,
  });

Deno.test("verdictOf() goes by the place of the whole interval", () => {
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

Deno.test("limitPctOf() allows short steps a larger share for drift", () => {
  assertAlmostEquals(limitPctOf(5, DEFAULT_LIMITS), 4, 1e-12);
  assertAlmostEquals(limitPctOf(500, DEFAULT_LIMITS), 2.02, 1e-12);
  assertEquals(limitPctOf(5, { samePct: 1, driftUs: 0 }), 1);
});

Deno.test("comparePair() gives the same verdict by every metric, and the metric's ratio", () => {
  for (
    const [name, ratio] of [["time", 1.1], ["gbytes", 1 / 1.1], ["roofline", 1 / 1.1]] as const
  ) {
    const pair = comparePair(timed(100, 1), timed(110, 1), METRICS[name], DEFAULT_LIMITS);
    assertEquals([name, pair.verdict], [name, "SLOWER"]);
    assertAlmostEquals(pair.ratio!.value, ratio, 1e-12);
    assertEquals(pair.limitPct, 2.1);
    assertEquals(
      comparePair(timed(110), timed(100), METRICS[name], DEFAULT_LIMITS).verdict,
      "FASTER",
    );
  }
});

Deno.test("comparePair() can prefer a small card by the share of its own roofline", () => {
  const [large, small] = [timed(10), makeRow({ ...timed(100), roofline_pct: 120 })];
  assertEquals(comparePair(large, small, METRICS.time, DEFAULT_LIMITS).verdict, "SLOWER");
  assertEquals(comparePair(large, small, METRICS.roofline, DEFAULT_LIMITS).verdict, "FASTER");
});

Deno.test("comparePair() gives FAILED or NO VALUE for rows without a number", () => {
  const verdict = (from: typeof row, to: typeof row) =>
    comparePair(from, to, METRICS.gbytes, DEFAULT_LIMITS).verdict;
  const row = timed(10);
  const none = makeRow({ ...row, gbytes_per_s: null });
  assertEquals(verdict(row, makeFailedRow()), "FAILED");
  assertEquals(verdict(makeFailedRow(), row), "FAILED");
  assertEquals(verdict(row, none), "NO VALUE");
  assertEquals(verdict(none, none), "NO VALUE");
  assertEquals(comparePair(none, row, METRICS.gbytes, DEFAULT_LIMITS).estimate?.value, 200);
  assertEquals(verdict(makeRow({ ...row, median_us: 0, ci_low_us: 0 }), row), "NO VALUE");
});

Deno.test("comparePair() is UNSURE of a row with too few samples for an interval, and tells its ratio", () => {
  const few = makeRow({ median_us: 100, ci_low_us: null, ci_high_us: null, samples: 5 });
  const { verdict, ratio } = comparePair(timed(10), few, METRICS.time, DEFAULT_LIMITS);
  assertEquals(verdict, "UNSURE");
  assertAlmostEquals(ratio!.value, 10, 1e-12);
});

Deno.test("comparePair() accepts an interval of no width that rounding moved", () => {
  const rounded = { median_us: 10.0001, ci_low_us: 10.0002, ci_high_us: 10.0002 };
  assertEquals(comparePair(makeRow(rounded), makeRow(rounded), METRICS.time, DEFAULT_LIMITS), {
    verdict: "SAME",
    estimate: { value: 10.0001, low: 10.0001, high: 10.0001 * (10.0002 / 10.0001) },
    ratio: { value: 1, low: 10.0001 / 10.0002, high: 10.0002 / 10.0001 },
    limitPct: limitPctOf(10.0001, DEFAULT_LIMITS),
  });
});
