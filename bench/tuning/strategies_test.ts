import { assert, assertEquals } from "@std/assert";
import fc from "fast-check";
import { candidateKey } from "./candidates.ts";
import { countAllowed, nextCandidates, ranked, STRATEGIES, type Strategy } from "./strategies.ts";
import { usualStrategy } from "./strategies.ts";
import { smallSpace, valleyUs } from "../tune/testing_space.ts";

const space = smallSpace();

/** Tries batches until there are no more, or `most` candidates. */
function exhaust(strategy: Strategy, batch: number, seed: number, most = Infinity) {
  const tried: { params: Record<string, number>; us: number | null }[] = [];
  for (;;) {
    const next = nextCandidates(strategy, space, tried, batch, seed);
    if (next.length === 0 || tried.length >= most) return tried;
    // Every fifth fails, as it would on a device that does not like it.
    for (const params of next) {
      tried.push({ params, us: tried.length % 5 === 4 ? null : valleyUs(params) });
    }
  }
}

Deno.test("every strategy begins with the defaults and meets each allowed candidate once", () => {
  const arbitrary = fc.tuple(
    fc.constantFrom(...STRATEGIES),
    fc.integer({ min: 1, max: 30 }),
    fc.nat(),
  );
  fc.assert(fc.property(arbitrary, ([strategy, batch, seed]) => {
    const tried = exhaust(strategy, batch, seed).map(({ params }) => params);
    assertEquals(tried[0], space.defaults);
    assert(tried.every(space.allows));
    assertEquals(new Set(tried.map(candidateKey)).size, tried.length);
    assertEquals(tried.length, countAllowed(space));
  }));
});

Deno.test("the same measurements and seed give the same candidates, so that a run resumes", () => {
  for (const strategy of STRATEGIES) {
    assertEquals(exhaust(strategy, 3, 5), exhaust(strategy, 3, 5));
  }
});

Deno.test("a climb is at the foot of the valley after a few steps", () => {
  const tried = exhaust("hill-climb", 4, 1, 8);
  assertEquals(ranked(tried)[0].params, { WORKGROUP: 64, LANES: 4, BLOCK: 7 });
});

Deno.test("all are tried where they fit the budget, else the hill is climbed", () => {
  assertEquals(usualStrategy(24, 30), "exhaustive");
  assertEquals(usualStrategy(48, 30), "hill-climb");
  assertEquals(usualStrategy(null, 30), "hill-climb");
});

Deno.test("a space of millions is not walked through", () => {
  const huge = { ...space, size: 4 ** 15, at: (i: number) => space.at(i % 20) };
  assertEquals(countAllowed(huge), null);
  for (const strategy of STRATEGIES) {
    assertEquals(nextCandidates(strategy, huge, [], 5, 1)[0], space.defaults);
  }
});
