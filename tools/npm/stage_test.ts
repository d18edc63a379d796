import { assert, assertEquals } from "@std/assert";
import { bindingsOf, workgroupFacts } from "../../kernels/core/wgsl/wgsl_facts.ts";
import { EVERY_VARIANT } from "../../kernels/core/registry.ts";
import { LARGE_LIMITS } from "../../kernels/core/device_limits.ts";
import { planOn } from "../../kernels/core/pieces.ts";
import { type Problem, ROTATED_CODE } from "../../kernels/core/problem/problem.ts";
import { tuningChecksum } from "../../kernels/core/tuning.ts";
import type { Variant } from "../../kernels/core/variant.ts";
import { variantIn } from "../../kernels/core/variant_in.ts";
import { paramDefaults, specialize } from "../../kernels/core/wgsl/wgsl.ts";
import { openNullDevice } from "../../testing/device/null_device.ts";
import { inOrderOfLikeness } from "./likeness.ts";
import { renamed, shortNames } from "./short_names.ts";
import { shakeable } from "./shakeable.ts";
import { PACKAGE_ENTRY, stageSources } from "./stage.ts";
import { stripped } from "./wgsl_module.ts";

const ROOT = new URL("../../", import.meta.url);

const P: Problem = {
  batch: 1,
  qHeads: 8,
  kvHeads: 2,
  headDim: 64,
  kvLen: 200,
  capacity: 256,
  dtype: "f16",
  topK: { sparsity: 8 },
  sink: 4,
  recent: 16,
  ...ROTATED_CODE,
};

Deno.test("the package's WGSL has no comments, and is what the suite's own text is", async () => {
  const folder = await Deno.makeTempDir();
  try {
    stageSources(folder, true);
    const { EVERY_VARIANT: packed } = await import(`file://${folder}/${PACKAGE_ENTRY}`);
    const names = (all: readonly Variant[]) => all.map(({ name }) => name);
    assertEquals(names(packed), names(EVERY_VARIANT));
    // A tuner's results must fit the package.
    for (const name of ["dense/split_subgroup", "pipeline/rotated_short"]) {
      const [ours, theirs] = [EVERY_VARIANT, packed].map((all) => variantIn(all, name));
      assertEquals([name, await tuningChecksum(theirs, P)], [name, await tuningChecksum(ours, P)]);
    }
    assertTakesFormats(packed);
    const dawn = await openNullDevice();
    const texts = await textsOf(folder);
    assert(texts.size > 40, `${texts.size} texts`);
    const short = new Map<string, string>();
    for (const [path, text] of texts) {
      const source = await Deno.readTextFile(new URL(path, ROOT));
      for (const comment of text.match(/\/\/.*$/gm) ?? []) {
        assert(/^\/\/ @(param|unroll)$/.test(comment), `${path}: ${comment}`);
      }
      assertEquals([path, paramDefaults(text)], [path, paramDefaults(source)]);
      assertEquals([path, bindingsOf(text)], [path, bindingsOf(source)]);
      const facts = [text, source].map((wgsl) => workgroupFacts(wgsl, {}));
      assertEquals([path, facts[0]], [path, facts[1]]);
      // The same tokens in the same order, but for names: each has one short name in all texts, and
      // no two of a text have the same.
      const long = new Map<string, string>();
      const [tokens, sourceTokens] = [tokensOf(text), tokensOf(source)];
      assertEquals([path, tokens.length], [path, sourceTokens.length]);
      sourceTokens.forEach((name, i) => {
        const to = short.get(name) ?? tokens[i];
        const from = long.get(tokens[i]) ?? name;
        assertEquals([path, tokens[i], name], [path, to, from]);
        if (!/^[A-Za-z]/.test(name)) assertEquals([path, tokens[i]], [path, name]);
        short.set(name, to);
        long.set(tokens[i], from);
      });
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

/** Statements of other formats are found in the package's texts as in the suite's own. */
function assertTakesFormats(packed: readonly Variant[]): void {
  const formats = [{ qDtype: "f16" }, { outDtype: "f16" }, { scale: 0.2 }, {
    softCap: 30,
  }] as const;
  let taken = 0;
  for (const format of formats) {
    const p: Problem = { ...P, ...format };
    const outcome = (variant: Variant) => {
      const params = variant.defaults(p, LARGE_LIMITS);
      const refusal = variant.refuses(p, params, LARGE_LIMITS);
      if (refusal !== undefined) return refusal;
      const usual = variant.plan(P, params).dispatches;
      // Where a kernel is another than for the usual formats.
      return planOn(variant, p, params, LARGE_LIMITS).dispatches
        .map(({ kernel }, i) =>
          tokensOf(kernel.source).length - tokensOf(usual[i].kernel.source).length
        );
    };
    for (const variant of EVERY_VARIANT) {
      const [ours, theirs] = [variant, variantIn(packed, variant.name)].map(outcome);
      assertEquals([variant.name, format, theirs], [variant.name, format, ours]);
      if (typeof ours !== "string") taken++;
    }
  }
  assert(taken > 100, `${taken} problems taken`);
}

/** The tokens of a text. Loops are unrolled, so that the marks are where they were. */
function tokensOf(wgsl: string): readonly string[] {
  return specialize(wgsl).replace(/\/\/.*$/gm, "").match(/\w+|[^\s\w]/g)!;
}

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

Deno.test("shortNames() spares what others know, and never gives a name twice in a text", () => {
  const one = "const SIZE: u32 = 1u; // @param\nconst PAIRS = SIZE * 2u;\n" +
    "@group(0) @binding(0) var<storage, read> keys: array<u32>;\n" +
    "struct Part {\n  count: u32,\n}\n" +
    "@compute @workgroup_size(SIZE)\nfn main(@builtin(local_invocation_index) thread: u32) {\n" +
    "  let total = min(keys[thread], PAIRS); // the total\n  let of_x = vec2f(1.0).xy;\n}\n";
  const other =
    "fn count(total: f32) -> f32 {\n  let length = 2.0;\n  return total * length;\n}\n" +
    "fn far(xy: vec2f) -> f32 {\n  return max(xy.x, 1.0);\n}\n";
  const third = "fn near(v: vec2f) -> f32 {\n  return length(v);\n}\n";
  const short = shortNames([one, other, third]);
  // A text that has a name for its own does not hide that another takes it for the language's.
  for (const name of ["SIZE", "keys", "main", "min", "max", "u32", "length", "x", "xy"]) {
    assertEquals([name, short.get(name)], [name, undefined]);
  }
  for (const source of [one, other, third]) {
    const names = new Set(source.match(/\b[A-Za-z_]\w*/g));
    const shortOnes = new Set(Array.from(names, (name) => short.get(name) ?? name));
    assertEquals(shortOnes.size, names.size, source);
  }
  assert(new Set(short.values()).size < short.size, "texts without a common name share short ones");
  assert(/^[A-Z][A-Z0-9]?$/.test(short.get("PAIRS")!), "constantsOf() must know it");
  const [total, thread] = [short.get("total"), short.get("thread")];
  const line = `  let ${total} = min(keys[${thread}], ${short.get("PAIRS")}); // the total\n`;
  assert(renamed(one, short).includes(line), renamed(one, short));
});

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

Deno.test("inOrderOfLikeness() puts what has common lines side by side", () => {
  const items = ["one\ntwo\nthree", "four", "five\nsix", "zero\none\ntwo", "four\nfive\nsix"];
  assertEquals(inOrderOfLikeness(items, (item) => item.split("\n")), [
    "four",
    "four\nfive\nsix",
    "five\nsix",
    "zero\none\ntwo",
    "one\ntwo\nthree",
  ]);
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
