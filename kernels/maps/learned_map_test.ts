import { assertEquals, assertThrows } from "@std/assert";
import { bufferBytes } from "../core/layout.ts";
import type { Problem } from "../core/problem/problem.ts";
import { joinMapHeads, packMap, takeMapHeads } from "./learned_map.ts";
import { parseMap } from "./map_file.ts";
import { fileOf, makeMaps } from "../../testing/inputs/maps.ts";

const MAP = parseMap(fileOf(makeMaps(4, [64, 128, 128, 32]), "F16"));

const P: Problem = {
  batch: 1,
  qHeads: 4,
  kvHeads: 1,
  headDim: 64,
  kvLen: 1,
  capacity: 16,
  dtype: "f16",
  bits: 32,
  sharing: "head",
  map: { layers: 3, hidden: 128, dtype: "f16" },
  topK: { count: 1 },
  sink: 0,
  recent: 0,
};

Deno.test("packMap() gives the bytes of the problem's buffers", () => {
  const { query_map, key_map } = packMap(MAP, P);
  assertEquals([query_map, key_map], [MAP.query, MAP.key]);
  assertEquals(query_map.byteLength, bufferBytes(P).query_map);
  assertEquals(key_map.byteLength, bufferBytes(P).key_map);
});

Deno.test("packMap() rounds to the problem's dtype, and refuses numbers that do not fit", () => {
  const wide = { ...P, map: { ...P.map, dtype: "f32" as const } };
  const { query_map } = packMap(MAP, wide);
  assertEquals(query_map, Float32Array.from(MAP.query));
  assertEquals(query_map.byteLength, bufferBytes(wide).query_map);

  const f32 = { ...MAP, shape: { ...MAP.shape, map: wide.map }, query: query_map, key: query_map };
  assertEquals(packMap(f32, P), { query_map: MAP.query, key_map: MAP.query });
  const large = query_map.slice();
  large[5] = 70000;
  const message = "the map holds 70000, which is too large for f16";
  assertThrows(() => packMap({ ...f32, key: large }, P), RangeError, message);
});

const OTHERS: readonly (readonly [Partial<Problem>, string])[] = [
  [{ headDim: 128 }, "head dim 64 and not 128"],
  [{ bits: 64 }, "bits 32 and not 64"],
  [{ map: { ...P.map, layers: 2 } }, "layers 3 and not 2"],
  [{ map: { ...P.map, hidden: 64 } }, "hidden width 128 and not 64"],
  [{ qHeads: 8, kvHeads: 2 }, "code heads 4 and not 8"],
  [{ kvHeads: 4, sharing: "group" }, "sharing by head and not group"],
  [{ sharing: "group" }, "sharing by head and not group, code heads 4 and not 1"],
  [{ bits: 128, headDim: 96 }, "head dim 64 and not 96, bits 32 and not 128"],
];
for (const [changes, difference] of OTHERS) {
  Deno.test(`packMap() refuses a problem of another shape: ${difference}`, () => {
    const refused = () => packMap(MAP, { ...P, ...changes });
    const { message } = assertThrows(refused, RangeError);
    assertEquals(message, `the map is for another problem: ${difference}`);
  });
}

Deno.test("packMap() ignores the hidden width of maps with one layer", () => {
  const linear = parseMap(fileOf(makeMaps(4, [64, 32]), "F16"));
  const { query_map } = packMap(linear, { ...P, map: { ...P.map, layers: 1, hidden: 256 } });
  assertEquals(query_map, linear.query);
});

Deno.test("joinMapHeads() joins the parts of takeMapHeads()", () => {
  const whole = { ...MAP, about: { trained_on: "x", kv_head: "all" } };
  const [first, second] = [takeMapHeads(whole, 0, 2), takeMapHeads(whole, 2, 2)];
  assertEquals(first.shape.heads, 2);
  assertEquals(second.key, MAP.key.slice(MAP.key.length / 2));
  const joined = joinMapHeads([first, { ...second, about: { ...second.about, kv_head: "1" } }]);
  assertEquals(joined, { ...MAP, about: { trained_on: "x" } });
});

Deno.test("takeMapHeads() refuses missing heads, joinMapHeads() maps that differ", () => {
  for (const [first, count] of [[3, 2], [-1, 2], [0, 0], [0.5, 1]]) {
    assertThrows(
      () => takeMapHeads(MAP, first, count),
      RangeError,
      `a map of 4 heads has no ${count} heads from head ${first} on`,
    );
  }
  assertThrows(() => joinMapHeads([]), RangeError, "there are no maps to join");
  const linear = parseMap(fileOf(makeMaps(4, [64, 32]), "F16"));
  assertThrows(
    () => joinMapHeads([MAP, linear]),
    RangeError,
    "map 0 is 64 to 128 to 128 to 32 in f16 by head, but map 1 is 64 to 32 in f16 by head",
  );
});
