import { assert, assertEquals } from "@std/assert";

import * as kernels from "./kernels/mod.ts";

Deno.test("kernels/mod.ts exports every variant but the rivals by a name of its own", () => {
  const exported = new Set<unknown>(Object.values(kernels));
  const missing = kernels.VARIANTS.filter((variant) => !exported.has(variant));
  assertEquals(missing.map(({ name }) => name), []);
});

const ROOT = new URL("./", import.meta.url).href;

for (const entry of ["mod.ts", "kernels/mod.ts"]) {
  Deno.test(`${entry} needs only web APIs: no packages, and nothing from Deno`, async () => {
    const { stdout } = await new Deno.Command(Deno.execPath(), {
      // The configuration has ambient types that are only for tests.
      args: ["info", "--no-config", "--json", `${ROOT}${entry}`],
    }).output();
    const { modules } = JSON.parse(new TextDecoder().decode(stdout)) as {
      modules: { specifier: string; local: string }[];
    };
    const kernels = `${ROOT}kernels/`;
    const foreign = modules.map(({ specifier }) => specifier)
      .filter((specifier) => specifier !== `${ROOT}${entry}` && !specifier.startsWith(kernels));
    assertEquals(foreign, []);
    assert(modules.length > 20, `only ${modules.length} modules were found`);
    for (const { specifier, local } of modules) {
      assertEquals(/\/(testing|verify)\//.test(specifier), false, `${specifier} is for tests`);
      const text = await Deno.readTextFile(local);
      assertEquals(/\bDeno\.|["']Deno["']/.test(text), false, `${specifier} uses Deno`);
    }
  });
}
