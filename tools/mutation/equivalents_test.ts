import { assertEquals } from "@std/assert";
import { EQUIVALENTS, staleEquivalents } from "./equivalents.ts";

Deno.test("EQUIVALENTS names lines that stand in their kernels", () => {
  for (const kernel of new Set(EQUIVALENTS.map((each) => each.kernel))) {
    const source = Deno.readTextFileSync(
      new URL(`../../kernels/${kernel}.wgsl`, import.meta.url),
    );
    assertEquals(staleEquivalents(kernel, source), []);
  }
});
