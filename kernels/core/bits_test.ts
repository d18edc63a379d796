import { assertEquals } from "@std/assert";
import fc from "fast-check";
import { popcount } from "./bits.ts";

Deno.test("popcount() counts the ones of a word, signed or not", () => {
  const ones = (word: number) => (word >>> 0).toString(2).replaceAll("0", "").length;
  for (const word of [0, 1, 0x7fffffff, 0x80000000, 0xffffffff, -1, -0x80000000]) {
    assertEquals(popcount(word), ones(word), String(word));
  }
  fc.assert(
    fc.property(fc.integer(), (word) => assertEquals(popcount(word), ones(word))),
  );
});
