import { assert, assertAlmostEquals, assertEquals, assertThrows } from "@std/assert";
import { bufferBytes } from "../core/layout.ts";
import type { Problem } from "../core/problem/problem.ts";
import { randomProjection } from "./random_projection.ts";

const P: Problem = {
  batch: 1,
  qHeads: 8,
  kvHeads: 2,
  headDim: 128,
  kvLen: 1,
  capacity: 16,
  dtype: "f16",
  bits: 64,
  sharing: "head",
  map: { layers: 1, hidden: 64, dtype: "f32" },
  topK: { count: 1 },
  sink: 0,
  recent: 0,
};

Deno.test("randomProjection() has normal weights and no bias for every code head", () => {
  const numbers = new Float32Array(randomProjection(P, 5).buffer);
  assertEquals(numbers.byteLength, bufferBytes(P).key_map);
  const perHead = 129 * 64;
  const heads = Array.from({ length: 8 }, (_, head) => {
    const map = numbers.subarray(head * perHead, (head + 1) * perHead);
    assert(map.subarray(128 * 64).every((bias) => bias === 0));
    return map.subarray(0, 128 * 64);
  });
  const weights = heads.flatMap((head) => [...head]);
  const moment = (power: number) =>
    weights.reduce((sum, w) => sum + w ** power, 0) / weights.length;
  // 65,536 weights: four standard errors of each moment.
  assertAlmostEquals(moment(1), 0, 0.016);
  assertAlmostEquals(moment(2), 1, 0.022);
  assertAlmostEquals(moment(3), 0, 0.061);
  assertAlmostEquals(moment(4), 3, 0.154);
  for (let other = 1; other < heads.length; other++) {
    const dot = heads[0].reduce((sum, w, i) => sum + w * heads[other][i], 0) / heads[0].length;
    assertAlmostEquals(dot, 0, 0.045, `heads 0 and ${other} are related`);
  }
});

Deno.test("randomProjection() repeats for equal seeds, and f16 is f32 rounded", () => {
  assertEquals(randomProjection(P, 5), randomProjection(P, 5));
  const wide = new Float32Array(randomProjection(P, 6).buffer);
  assert(wide[0] !== new Float32Array(randomProjection(P, 5).buffer)[0]);
  const half = { ...P, map: { ...P.map, dtype: "f16" as const } };
  assertEquals(new Float16Array(randomProjection(half, 6).buffer), new Float16Array(wide));
  const shared = { ...P, sharing: "group" as const };
  assertEquals(randomProjection(shared, 5).length, bufferBytes(shared).key_map);
});

Deno.test("randomProjection() refuses maps of several layers, and wrong seeds", () => {
  assertThrows(
    () => randomProjection({ ...P, map: { ...P.map, layers: 3 } }, 1),
    RangeError,
    "a random projection has 1 layer, not 3",
  );
  for (const seed of [1.5, NaN, "x" as unknown as number]) {
    const message = `the seed must be a whole number, got ${seed}`;
    assertThrows(() => randomProjection(P, seed), RangeError, message);
  }
});
