import { assertEquals } from "@std/assert";
import fc from "fast-check";
import { createRandom } from "../../../../fixtures/random.ts";
import { countUpTo, createRotation, draw, takeRows } from "./rows.ts";

/** The same shuffle, over an array of all indices. */
function drawFromAll(seed: number, length: number, count: number): number[] {
  const random = createRandom(seed);
  const pool = Array.from({ length }, (_, i) => i);
  const taken = Math.min(count, length);
  for (let i = 0; i < taken; i++) {
    const other = i + random.below(length - i);
    [pool[i], pool[other]] = [pool[other], pool[i]];
  }
  return pool.slice(0, taken);
}

Deno.test("draw() equals the start of a full shuffle", () => {
  const small = fc.integer({ min: 0, max: 60 });
  fc.assert(fc.property(fc.nat(), small, small, (seed, length, count) => {
    assertEquals([...draw(createRandom(seed), length, count)], drawFromAll(seed, length, count));
  }));
});

Deno.test("countUpTo() counts the tokens up to the last", () => {
  fc.assert(fc.property(fc.array(fc.nat(40)), fc.integer({ min: -1, max: 41 }), (list, last) => {
    const tokens = Uint32Array.from(list).sort();
    assertEquals(countUpTo(tokens, last), list.filter((token) => token <= last).length);
  }));
});

Deno.test("takeRows() copies rows in the order of their indices", () => {
  const taken = new Float32Array(4);
  takeRows(Float32Array.of(1, 2, 3, 4, 5, 6), Uint32Array.of(2, 0), 2, taken);
  assertEquals([...taken], [5, 6, 1, 2]);
});

Deno.test("createRotation() changes no row without RoPE or by an offset of 0", () => {
  const turn = (base: number | null, offset: number) => [
    ...createRotation(2, base)(Float32Array.of(1, 0, 0, 2), offset),
  ];
  assertEquals([turn(null, 7), turn(10, 0)], [[1, 0, 0, 2], [1, 0, 0, 2]]);
  const [cosine, sine] = [Math.fround(Math.cos(7)), Math.fround(Math.sin(7))];
  assertEquals(turn(10, 7), [cosine, sine, -2 * sine, 2 * cosine]);
});
