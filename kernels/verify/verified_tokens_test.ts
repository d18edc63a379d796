import { assert, assertEquals } from "@std/assert";
import { verifiedTokens } from "./verified_tokens.ts";

Deno.test("verifiedTokens() has the first and last token, and others for each head", () => {
  assertEquals(verifiedTokens(3, 8, 5), [0, 1, 2]);
  for (const head of [0, 1, 2]) {
    const tokens = verifiedTokens(1000, 8, head);
    assertEquals([tokens[0], tokens.at(-1)], [0, 999]);
    assert(tokens.length >= 8 && tokens.every((token) => token < 1000));
  }
  assert(verifiedTokens(1000, 8, 1)[1] !== verifiedTokens(1000, 8, 2)[1]);
});

Deno.test("verifiedTokens() has tokens of every place in a tile, whatever the length", () => {
  for (const length of [8192, 131072, 100003]) {
    for (const tile of [16, 32, 64]) {
      const places = new Set(verifiedTokens(length, 256, 0).map((token) => token % tile));
      assertEquals(places.size, tile, `${length} tokens, tiles of ${tile}`);
    }
  }
});
