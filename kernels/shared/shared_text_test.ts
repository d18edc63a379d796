/**
 * Kernels repeat text, since each file must run on its own. Functions with the same name must have
 * the same body.
 */
import { assert, assertEquals, assertThrows } from "@std/assert";
import { kernelFiles, kernelPath, readShared } from "../../tools/kernel_files.ts";
import { sharedNames, withSharedText } from "../../tools/shared_text.ts";

/** Names whose functions may differ. */
const DIFFERENT = [
  "main",
  "units_of", // blocks of tokens, or rows of a list
  "first_row", // of a branch of NSA
  "count_rows",
  "keep_logit",
  "store_partial_of", // for a dispatch, or for a hand-over
];

/** The functions of a WGSL text: name, and text without comments and white space. */
function functionsOf(source: string): [name: string, text: string][] {
  const found = source.matchAll(/^(?:fn (\w+)\(.*}$|fn (\w+)\([^]*?^}$)/gm);
  return Array.from(found, ([text, line, block]) => [
    line ?? block,
    text.replace(/\/\/.*$/gm, "").replace(/\s+/g, ""),
  ]);
}

Deno.test("withSharedText() changes no kernel: their copies are up to date", () => {
  const names = new Set<string>();
  for (const file of kernelFiles()) {
    const source = Deno.readTextFileSync(file);
    assertEquals(
      source,
      withSharedText(source, readShared),
      `deno task sync-shared: ${file.pathname}`,
    );
    for (const name of sharedNames(source)) names.add(name);
  }
  const texts = Array.from(Deno.readDirSync(new URL(".", import.meta.url)), ({ name }) => name)
    .filter((name) => name.endsWith(".wgsl"));
  assertEquals([...names].sort(), texts.map((name) => name.replace(".wgsl", "")).sort());
});

Deno.test("withSharedText() keeps the indentation of the marker", () => {
  const source = "fn main() {\n  // @shared two\n  old\n  // @end\n}\n";
  assertEquals(
    withSharedText(source, () => "a;\n\nb;\n"),
    "fn main() {\n  // @shared two\n  a;\n\n  b;\n  // @end\n}\n",
  );
});

Deno.test("withSharedText() refuses a marker without its partner", () => {
  assertThrows(() => withSharedText("// @shared one\nlet a = 1;\n", () => ""), SyntaxError, "@end");
  assertThrows(() => withSharedText("let a = 1;\n// @end\n", () => ""), SyntaxError, "@end");
});

Deno.test("functions with the same name have the same body in all kernels", () => {
  const bodies = new Map<string, Map<string, string[]>>();
  for (const url of kernelFiles()) {
    const file = kernelPath(url);
    // The device check uses quads of u32 instead of f32.
    if (file.startsWith("check/")) continue;
    const source = Deno.readTextFileSync(url);
    for (const [name, body] of functionsOf(source)) {
      const known = bodies.get(name) ?? new Map<string, string[]>();
      bodies.set(name, known.set(body, [...known.get(body) ?? [], file]));
    }
  }
  const drifted = [...bodies].filter(([, known]) => known.size > 1)
    .map(([name, known]) => [name, [...known.values()]] as const);
  assertEquals(drifted.filter(([name]) => !DIFFERENT.includes(name)), []);
  // A name must leave the list when its functions no longer differ.
  assertEquals(DIFFERENT.filter((name) => !drifted.some(([other]) => other === name)), []);
  const sharers = [...bodies.get("store_partial")!.values()].flat();
  assert(sharers.length >= 4, sharers.join());
});
