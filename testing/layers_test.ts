import { fileURLToPath } from "node:url";
import { assert, assertEquals } from "@std/assert";
import { forbiddenImports, importsOf, isEdge, LAYERS, sourcesOf, WEB_FOLDERS } from "./layers.ts";

const ROOT = new URL("../", import.meta.url);
const sources = sourcesOf(ROOT);

Deno.test("forbiddenImports() finds no import in the suite that the layers forbid", async () => {
  const imports = await importsOf(ROOT, sources);
  assert(sources.length > 150 && imports.length > 600, `${sources.length} ${imports.length}`);
  assertEquals(forbiddenImports(imports), []);
});

Deno.test("forbiddenImports() finds planted imports from a layer above", async () => {
  const folder = await Deno.makeTempDir();
  try {
    const root = new URL(`file://${await Deno.realPath(folder)}/`);
    const files: Record<string, string> = {
      "deno.json": "{}",
      "mod.ts": 'export * from "./kernels/core/good.ts";',
      "kernels/core/good.ts": "export const one = 1;",
      "kernels/score/bad.ts":
        'import type { Two } from "../../bench/run/two.ts";\nexport type X = Two;',
      "kernels/maps/bad.ts": 'import "../score/bad.ts";',
      "kernels/score/bad_test.ts": 'import "../../bench/run/two.ts";',
      "bench/run/two.ts": 'import "../../kernels/core/good.ts";\nexport type Two = 2;',
      "bench/tune/bad.ts": 'import "../run/two.ts";',
    };
    for (
      const name of [
        "kernels/core",
        "kernels/score",
        "kernels/maps",
        "bench/run",
        "bench/tune",
        "fixtures",
        "tools",
      ]
    ) {
      Deno.mkdirSync(new URL(name, root), { recursive: true });
    }
    for (const [name, text] of Object.entries(files)) {
      Deno.writeTextFileSync(new URL(name, root), text);
    }
    assertEquals(forbiddenImports(await importsOf(root, sourcesOf(root))).sort(), [
      "bench/tune/bad.ts imports bench/run/two.ts; bench/tune may import from " +
      `${LAYERS["bench/tune"].join(", ")} alone`,
      "kernels/maps/bad.ts imports kernels/score/bad.ts; " +
      "kernels/maps may import from kernels/maps, kernels/core alone",
      "kernels/score/bad.ts imports bench/run/two.ts; kernels may import from kernels alone",
    ]);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});

/** A use of Deno's own interfaces. A character before `Deno` would make it another identifier. */
const DENO_USE = /(?<![\w.])Deno\./;

/** The sources outside the edge that use Deno's own interfaces. */
async function strayingFiles(root: URL, paths: readonly string[]): Promise<string[]> {
  const inner = paths.filter((path) => !isEdge(path));
  const texts = await Promise.all(inner.map((path) => Deno.readTextFile(new URL(path, root))));
  return inner.filter((_, i) => DENO_USE.test(texts[i]));
}

Deno.test("the sources of the suite use Deno's own interfaces at the edge alone", async () => {
  assertEquals(await strayingFiles(ROOT, sources), []);
  for (const folder of WEB_FOLDERS) {
    assert(sources.some((path) => path.startsWith(`${folder}/`) && !isEdge(path)), folder);
  }
});

Deno.test("strayingFiles() finds a planted use of Deno in a web folder", async () => {
  const folder = await Deno.makeTempDir();
  try {
    const root = new URL(`file://${await Deno.realPath(folder)}/`);
    const text = "export const text = Deno.readTextFileSync(path);";
    const paths = ["bench/measure/bad.ts", "bench/edge/good.ts", "bench/run/main.ts"];
    for (const path of paths) {
      Deno.mkdirSync(new URL("./", new URL(path, root)), { recursive: true });
      Deno.writeTextFileSync(new URL(path, root), text);
    }
    assertEquals(await strayingFiles(root, paths), ["bench/measure/bad.ts"]);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});

Deno.test("quickstart and bench download nothing that they do not need", async () => {
  for (const entry of ["tools/quickstart.ts", "bench/run/main.ts", "bench/fit/main.ts"]) {
    const { stdout } = await new Deno.Command(Deno.execPath(), {
      args: ["info", "--json", fileURLToPath(new URL(entry, ROOT))],
    }).output();
    const { modules } = JSON.parse(new TextDecoder().decode(stdout)) as {
      modules: { specifier: string }[];
    };
    const found = modules.some(({ specifier }) => specifier.includes("@jax-js/"));
    assertEquals([entry, found], [entry, entry.includes("/fit/")]);
    const needless = ["webgpu", "wgpu-matrix", "playwright-core", "axe-core"].filter((name) =>
      modules.some(({ specifier }) => specifier.startsWith(`npm:/${name}@`))
    );
    assertEquals([entry, needless], [entry, []]);
  }
});
