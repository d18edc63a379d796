import { assert, assertEquals, assertLessOrEqual } from "@std/assert";
import fc from "fast-check";
import { candidateKey } from "./candidates.ts";
import { nextCandidates, ranked, type Tried } from "./search.ts";
import { smallSpace, valleyUs } from "../tune/testing_space.ts";

const space = smallSpace();

/** Tries batches until there are no more; every fifth candidate fails, as on a real device. */
function search(batch: number): Tried[] {
  const tried: Tried[] = [];
  for (;;) {
    const next = nextCandidates(space, tried, batch);
    if (next.length === 0) return tried;
    for (const params of next) {
      tried.push({ params, us: tried.length % 5 === 4 ? null : valleyUs(params) });
    }
  }
}

Deno.test("nextCandidates() begins with the defaults and tries each allowed candidate once", () => {
  const allowed = Array.from({ length: space.size }, (_, i) => space.at(i)).filter(space.allows);
  fc.assert(fc.property(fc.integer({ min: 1, max: 30 }), (batch) => {
    const tried = search(batch).map(({ params }) => params);
    assertEquals(tried[0], space.defaults);
    assertEquals(tried.map(candidateKey).sort(), allowed.map(candidateKey).sort());
  }));
});

Deno.test("nextCandidates() gives the defaults alone, then at most `count` neighbours", () => {
  assertEquals(nextCandidates(space, [], 14), [space.defaults]);
  const tried = [{ params: space.defaults, us: 10 }];
  const next = nextCandidates(space, tried, 14);
  const values = next.map(({ WORKGROUP, LANES }) => [WORKGROUP, LANES]);
  assertEquals(values, [[64, 8], [256, 8], [128, 4], [128, 16]]);
  assertEquals(nextCandidates(space, tried, 3), next.slice(0, 3));
});

Deno.test("nextCandidates() finds the minimum after a few steps", () => {
  const tried: Tried[] = [];
  for (let step = 0; step < 4; step++) {
    for (const params of nextCandidates(space, tried, 4)) {
      tried.push({ params, us: valleyUs(params) });
    }
  }
  assertLessOrEqual(tried.length, 13);
  assertEquals(ranked(tried)[0].params, { WORKGROUP: 64, LANES: 4, BLOCK: 7 });
});

Deno.test("nextCandidates() does not search a space of millions in full", () => {
  let looks = 0;
  const huge = {
    ...space,
    size: 4 ** 15,
    at(index: number) {
      looks++;
      return space.at(index % 20);
    },
  };
  // Every candidate was tried, so that the search goes on to its limit.
  assertEquals(nextCandidates(huge, search(14), 5), []);
  assert(looks > 20 && looks < 1e6);
});
