import { assert, assertEquals, assertNotEquals } from "@std/assert";
import { drawMutants } from "./draw.ts";
import { mutationSites } from "./sites.ts";

const SOURCE = `\
// The sum of 1 + 2.
fn sum(a: u32) -> u32 {
  let low = min(a, 7u);
  return low + 4u - a;
}
`;

Deno.test("drawMutants() draws the same from one seed, and others from another", () => {
  const drawn = drawMutants("a/b", SOURCE, 1);
  assertEquals(drawMutants("a/b", SOURCE, 1), drawn);
  assertNotEquals(drawMutants("a/b", SOURCE, 2), drawn);
  const orderOf = (mutants: readonly { after: string }[]) => mutants.map(({ after }) => after);
  assertNotEquals(orderOf(drawMutants("a/c", SOURCE, 1)), orderOf(drawn));
});

Deno.test("drawMutants() changes each site once, and tells the line", () => {
  const drawn = drawMutants("a/b", SOURCE, 1);
  assertEquals(drawn.length, mutationSites(SOURCE).length);
  assertEquals(new Set(drawn.map(({ source }) => source)).size, drawn.length);
  for (const { kernel, line, above, before, after, source } of drawn) {
    assertEquals(kernel, "a/b");
    assertEquals(SOURCE.split("\n").slice(line - 2, line).map((text) => text.trim()), [
      above,
      before,
    ]);
    assertEquals(source, SOURCE.replace(before, after));
    assertNotEquals(before, after);
  }
});

Deno.test("drawMutants() begins with any site equally often", () => {
  const seeds = 600;
  const firsts = Array.from({ length: seeds }, (_, seed) => drawMutants("a/b", SOURCE, seed)[0]);
  const sites = Map.groupBy(firsts, ({ before, after }) => `${before}${after.length}`);
  const even = seeds / mutationSites(SOURCE).length;
  for (const found of sites.values()) assert(found.length > even / 2, `${found.length} of ${even}`);
});
