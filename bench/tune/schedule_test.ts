import { assert, assertAlmostEquals, assertEquals, assertGreater } from "@std/assert";
import fc from "fast-check";
import { findVariant, VARIANTS } from "../../kernels/core/registry.ts";
import { exploreMs, jobBudgetMs, shareOf } from "./schedule.ts";

Deno.test("jobs that take what they are given take the whole budget, and none is left out", () => {
  const shares = fc.array(fc.constantFrom(0.5, 1, 3), { minLength: 1, maxLength: 40 });
  fc.assert(fc.property(shares, fc.integer({ min: 60_000, max: 1e7 }), (all, budgetMs) => {
    let leftMs = budgetMs;
    for (let i = 0; i < all.length; i++) {
      const ms = jobBudgetMs(leftMs, all.slice(i));
      assertGreater(ms, 0);
      leftMs -= ms;
    }
    assertAlmostEquals(leftMs, 0, 1e-3);
  }));
});

Deno.test("what is not used goes to the jobs after it, and what is overspent is theirs too", () => {
  const usual = jobBudgetMs(60_000, [1, 1]);
  assertEquals(usual, 30_000);
  assertGreater(jobBudgetMs(50_000, [1]), usual);
  assert(jobBudgetMs(-5000, [1, 1]) > 0);
});

Deno.test("five minutes leave a kernel that reads the cache time for 24 candidates", () => {
  const shares = VARIANTS.map(shareOf).sort((a, b) => b - a);
  assertEquals(shares[0], shareOf(findVariant("dense/split")));
  // 3 s to open the device; 0.4 s to compile, check and time a candidate.
  assertGreater(exploreMs(jobBudgetMs(300_000, shares)) - 3000, 24 * 400);
});
