import { assert, assertEquals } from "@std/assert";
import { bindingsOf, workgroupFacts } from "../../kernels/core/wgsl/wgsl_facts.ts";
import { EVERY_VARIANT } from "../../kernels/core/registry.ts";
import type { Variant } from "../../kernels/core/variant.ts";
import { paramDefaults, specialize } from "../../kernels/core/wgsl/wgsl.ts";
import { openNullDevice } from "../../testing/testing_dawn.ts";
import { shakeable } from "./shakeable.ts";
import { PACKAGE_ENTRY, stageSources } from "./stage.ts";
import { stripped } from "./wgsl_module.ts";

Deno.test("the package's WGSL has no comments, and is what the suite's own text is", async () => {
  const folder = await Deno.makeTempDir();
  try {
    stageSources(folder, true);
    const { EVERY_VARIANT: packed } = await import(`file://${folder}/${PACKAGE_ENTRY}`);
    const names = (all: readonly Variant[]) => all.map(({ name }) => name);
    assertEquals(names(packed), names(EVERY_VARIANT));
    const dawn = await openNullDevice();
    const texts = await textsOf(folder);
    assert(texts.size > 40, `${texts.size} texts`);
    for (const [path, text] of texts) {
      const source = await Deno.readTextFile(new URL(`../../${path}`, import.meta.url));
      for (const comment of text.match(/\/\/.*$/gm) ?? []) {
        assert(/^\/\/ @(param|unroll)$/.test(comment), `${path}: ${comment}`);
      }
      assertEquals([path, paramDefaults(text)], [path, paramDefaults(source)]);
      assertEquals([path, bindingsOf(text)], [path, bindingsOf(source)]);
      const facts = [text, source].map((wgsl) => workgroupFacts(wgsl, {}));
      assertEquals([path, facts[0]], [path, facts[1]]);
      // The same tokens in the same order: both are unrolled, so the marks are where they were.
      const tokens = (wgsl: string) =>
        specialize(wgsl).replace(/\/\/.*$/gm, "").match(/\w+|[^\s\w]/g)!.join(" ");
      assertEquals(tokens(text), tokens(source), path);
      const enables = ["f16", "subgroups", "chromium_experimental_subgroup_matrix"];
      const code = enables.map((name) => `enable ${name};\n`).join("") + specialize(text);
      dawn.device.pushErrorScope("validation");
      dawn.device.createShaderModule({ code });
      const error = await dawn.device.popErrorScope();
      assertEquals([path, error?.message], [path, undefined]);
    }
    dawn.device.destroy();
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});

/** The texts of the staged modules of WGSL, by the paths of their sources. */
async function textsOf(folder: string): Promise<Map<string, string>> {
  const texts = new Map<string, string>();
  const walk = async (path: string): Promise<void> => {
    for (const { name, isDirectory } of Deno.readDirSync(`${folder}/${path}`)) {
      if (isDirectory) await walk(`${path}${name}/`);
      else if (name.endsWith(".wgsl.ts")) {
        const { default: text } = await import(`file://${folder}/${path}${name}`);
        texts.set(`${path}${name}`.replace(/\.ts$/, ""), text);
      }
    }
  };
  await walk("kernels/");
  return texts;
}

Deno.test("stripped() keeps what the tokens and the marks need", () => {
  assertEquals(
    stripped(
      "// A file.\nconst X: u32 = 1u; // @param of it\n\nfn f() {\n  let a = b - -c; // why\n" +
        "  const Y = 2u;\n  for (var i = 0u; i < X; i++) { // @unroll\n    g(a, i);\n  }\n}\n",
    ),
    "const X: u32 = 1u; // @param\nfn f(){\nlet a=b- -c;\n const Y=2u;\n" +
      "for (var i = 0u; i < X; i++) { // @unroll\ng(a,i);\n}\n}",
  );
});

Deno.test("shakeable() marks constants that call something, and nothing else", () => {
  const source = "export const A: X = make({\n  b: 1,\n});\nconst B = [1, 2];\n" +
    "export const C = (x: number) => f(x);\nexport function d() {\n  const e = f();\n}\n" +
    "const F = [...B, 3];\n";
  assertEquals(
    shakeable(source),
    "export const A: X = /* @__PURE__ */ (() => (make({\n  b: 1,\n})))();\nconst B = [1, 2];\n" +
      "export const C = (x: number) => f(x);\nexport function d() {\n  const e = f();\n}\n" +
      "const F = /* @__PURE__ */ (() => ([...B, 3]))();\n",
  );
});
