import { assertAlmostEquals, assertEquals, assertGreater, assertThrows } from "@std/assert";
import { createRandom } from "../../../fixtures/random.ts";
import { median, medianInterval, noisePct, quantile } from "./statistics.ts";

/** 1 to n, out of order. */
function shuffledRange(n: number): number[] {
  return Array.from({ length: n }, (_, i) => (i * 7919) % n + 1);
}

Deno.test("median() takes odd and even counts of samples", () => {
  assertEquals(median([3, 1, 2]), 2);
  assertEquals(median([4, 1, 3, 2]), 2.5);
  assertEquals(median([5]), 5);
  // Samples sort as numbers, not as strings: 10 comes after 9.
  assertEquals(median([10, 9, 1]), 9);
});

Deno.test("quantile() equals R's quantile(type = 7)", () => {
  // quantile(c(2, 3, 5, 7, 11, 13), c(0, .1, .25, .5, .75, .9, 1))
  const primes = [13, 2, 11, 3, 7, 5];
  const expected = { 0: 2, 0.1: 2.5, 0.25: 3.5, 0.5: 6, 0.75: 10, 0.9: 12, 1: 13 };
  for (const [probability, value] of Object.entries(expected)) {
    assertAlmostEquals(quantile(primes, Number(probability)), value, 1e-12);
  }
});

Deno.test("median(), medianInterval() and noisePct() leave the samples in their order", () => {
  const samples = [3, 1, 2];
  median(samples);
  medianInterval(samples);
  noisePct(samples);
  assertEquals(samples, [3, 1, 2]);
});

Deno.test("medianInterval() has the ranks of the binomial tables", () => {
  // Lower rank r of the 95% interval, from tables of the sign test (upper rank n + 1 - r).
  const ranks = { 6: 1, 8: 1, 9: 2, 10: 2, 15: 4, 20: 6, 25: 8, 50: 18, 100: 40 };
  for (const [n, rank] of Object.entries(ranks)) {
    const { low, high } = medianInterval(shuffledRange(Number(n)), 0.95);
    assertEquals([n, low, high], [n, rank, Number(n) + 1 - rank]);
  }
  // P(X <= 0) + P(X >= 8) = 2/256 = 0.8%, and one rank further 7%.
  assertEquals(medianInterval(shuffledRange(8), 0.99), { low: 1, high: 8 });
  assertEquals(medianInterval(shuffledRange(8), 0.9), { low: 2, high: 7 });
});

Deno.test("medianInterval() of few samples is their range", () => {
  assertEquals(medianInterval([7]), { low: 7, high: 7 });
  assertEquals(medianInterval([3, 9, 5, 4, 8]), { low: 3, high: 9 });
});

Deno.test("medianInterval() of many samples does not underflow", () => {
  // n/2 -+ 1.96 sqrt(n)/2 for large n: 4902 and 5099.
  const { low, high } = medianInterval(shuffledRange(10_000));
  assertAlmostEquals(low, 4902, 1);
  assertAlmostEquals(high, 5099, 1);
});

Deno.test("medianInterval() contains the true median in at least 95% of trials", () => {
  const random = createRandom(42);
  for (const n of [6, 11, 30]) {
    let held = 0;
    const trials = 4000;
    for (let trial = 0; trial < trials; trial++) {
      // Skewed, as timings are; the median of exp(normal) is 1.
      const samples = Array.from({ length: n }, () => Math.exp(random.normal()));
      const { low, high } = medianInterval(samples, 0.95);
      if (low <= 1 && 1 <= high) held++;
    }
    // Three standard errors of the 4000 trials below 95%.
    assertGreater(held / trials, 0.95 - 3 * Math.sqrt(0.95 * 0.05 / trials));
  }
});

Deno.test("noisePct() is half the interquartile range over the median", () => {
  // Quartiles 2 and 4, median 3.
  assertAlmostEquals(noisePct([5, 1, 4, 2, 3]), 100 / 3, 1e-12);
  assertAlmostEquals(noisePct([5000, 1, 4, 2, 3]), 100 / 3, 1e-12);
  assertEquals(noisePct([2, 2, 2]), 0);
});

Deno.test("statistics refuse empty samples, NaN and probabilities outside 0 to 1", () => {
  for (const statistic of [median, medianInterval, noisePct]) {
    assertThrows(() => statistic([]), RangeError);
    assertThrows(() => statistic([3, NaN, 1]), TypeError, "got NaN");
  }
  assertThrows(() => quantile([], 0.5), RangeError, "at least one sample");
  assertThrows(() => quantile([1], 1.1), RangeError, "between 0 and 1");
  assertThrows(() => medianInterval([1], 95), RangeError, "between 0 and 1");
});
