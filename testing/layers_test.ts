import { assert, assertEquals } from "@std/assert";
import { forbiddenImports, importsOf, sourcesOf } from "./layers.ts";

const ROOT = new URL("../", import.meta.url);
const sources = sourcesOf(ROOT);

Deno.test("every import is one that the layers allow", async () => {
  const imports = await importsOf(ROOT, sources);
  assert(sources.length > 150 && imports.length > 600, `${sources.length} ${imports.length}`);
  assertEquals(forbiddenImports(imports), []);
});

Deno.test("a planted import from a layer above is found", async () => {
  const folder = await Deno.makeTempDir();
  try {
    const root = new URL(`file://${await Deno.realPath(folder)}/`);
    const files: Record<string, string> = {
      "deno.json": "{}",
      "mod.ts": 'export * from "./kernels/core/good.ts";',
      "kernels/core/good.ts": "export const one = 1;",
      "kernels/score/bad.ts":
        'import type { Two } from "../../bench/two.ts";\nexport type X = Two;',
      "kernels/maps/bad.ts": 'import "../score/bad.ts";',
      "kernels/score/bad_test.ts": 'import "../../bench/two.ts";',
      "bench/two.ts": 'import "../kernels/core/good.ts";\nexport type Two = 2;',
    };
    for (
      const name of ["kernels/core", "kernels/score", "kernels/maps", "bench", "fixtures", "tools"]
    ) {
      Deno.mkdirSync(new URL(name, root), { recursive: true });
    }
    for (const [name, text] of Object.entries(files)) {
      Deno.writeTextFileSync(new URL(name, root), text);
    }
    assertEquals(forbiddenImports(await importsOf(root, sourcesOf(root))).sort(), [
      "kernels/maps/bad.ts imports kernels/score/bad.ts; " +
      "kernels/maps may import from kernels/maps, kernels/core alone",
      "kernels/score/bad.ts imports bench/two.ts; kernels may import from kernels alone",
    ]);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});

/** Deno's own interfaces; a word before the dot would make it another object's member. */
const OF_DENO = /(?<![\w.])Deno\./;

Deno.test("kernels use web APIs alone", async () => {
  const kernels = sources.filter((path) => path.startsWith("kernels/"));
  const texts = await Promise.all(kernels.map((path) => Deno.readTextFile(new URL(path, ROOT))));
  assertEquals(kernels.filter((_, i) => OF_DENO.test(texts[i])), []);
  assert(OF_DENO.test("const text = Deno.readTextFileSync(path);"));
});
