import { assertAlmostEquals, assertEquals, assertGreater, assertThrows } from "@std/assert";
import { createRandom } from "../../fixtures/random.ts";
import { median, medianInterval } from "../measure/clock/statistics.ts";
import { type Estimate, geometricMean, ratioOf } from "./ratio.ts";

const exact = (value: number): Estimate => ({ value, low: value, high: value });

Deno.test("ratioOf() keeps the relative interval of one estimate over an exact one", () => {
  const ratio = ratioOf(exact(50), { value: 100, low: 98, high: 103 });
  assertAlmostEquals(ratio.value, 2, 1e-12);
  assertAlmostEquals(ratio.low, 1.96, 1e-12);
  assertAlmostEquals(ratio.high, 2.06, 1e-12);
});

Deno.test("ratioOf() adds the squares of the distances to the limits, side by side", () => {
  // Steps of e^0.03 and e^0.04 make e^0.05. The base's upper limit makes the ratio's lower one.
  const from = { value: 1, low: Math.exp(-0.12), high: Math.exp(0.04) };
  const to = { value: 1, low: Math.exp(-0.03), high: Math.exp(0.05) };
  const { value, low, high } = ratioOf(from, to);
  assertEquals(value, 1);
  assertAlmostEquals(Math.log(low), -0.05, 1e-12);
  assertAlmostEquals(Math.log(high), 0.13, 1e-12);
  const back = ratioOf(to, from);
  assertAlmostEquals(back.low * high, 1, 1e-12);
  assertAlmostEquals(back.high * low, 1, 1e-12);
});

Deno.test("ratioOf() gives intervals that hold the true ratio of medians in 95% of trials", () => {
  const random = createRandom(7);
  for (const [n, m] of [[6, 30], [18, 18], [42, 30]]) {
    const trials = 3000;
    let held = 0;
    const draw = (count: number, scale: number): Estimate => {
      // The samples are skewed like timings; their true median is the scale.
      const samples = Array.from({ length: count }, () => scale * Math.exp(random.normal() / 20));
      return { value: median(samples), ...medianInterval(samples) };
    };
    for (let trial = 0; trial < trials; trial++) {
      const { low, high } = ratioOf(draw(n, 10), draw(m, 11));
      if (low <= 1.1 && 1.1 <= high) held++;
    }
    // The bound is three standard errors of the trials below 95%.
    assertGreater(held / trials, 0.95 - 3 * Math.sqrt(0.95 * 0.05 / trials));
  }
});

Deno.test("ratioOf() refuses estimates that are not positive", () => {
  const outside = { value: 3, low: 1, high: 2 };
  for (const wrong of [outside, exact(0), exact(-1), exact(NaN), exact(Infinity)]) {
    assertThrows(() => ratioOf(wrong, exact(1)), RangeError, "no positive estimate");
    assertThrows(() => ratioOf(exact(1), wrong), RangeError);
  }
});

Deno.test("ratioOf() bounds nothing where one of the estimates is unbounded", () => {
  const unbounded = { value: 10, low: 0, high: Infinity };
  for (const [from, to] of [[exact(1), unbounded], [unbounded, exact(100)]] as const) {
    const { value, low, high } = ratioOf(from, to);
    assertAlmostEquals(value, 10, 1e-12);
    assertEquals([low, high], [0, Infinity]);
  }
});

Deno.test("geometricMean() weighs a factor and its inverse alike", () => {
  assertAlmostEquals(geometricMean([0.5, 2]), 1, 1e-12);
  assertAlmostEquals(geometricMean([1, 10, 100]), 10, 1e-12);
  assertEquals(geometricMean([]), NaN);
});
