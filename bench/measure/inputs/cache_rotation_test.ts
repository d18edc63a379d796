import { assert } from "@std/assert";
import { coldSets, isCold } from "./cache_rotation.ts";

Deno.test("isCold() holds for as many sets as are wanted, and for one that no cache keeps", () => {
  for (const bytes of [1e6, 1e8, 5e8, 2e9]) {
    assert(isCold(bytes, coldSets(bytes)) && !isCold(bytes, 1), `${bytes}`);
  }
  assert(isCold(4.3e9, 1));
});
