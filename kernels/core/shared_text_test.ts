/** Kernels repeat text, since each file runs as it stands. What has one name must have one body. */
import { assert, assertEquals } from "@std/assert";

const FOLDER = new URL("../", import.meta.url);

/** Functions that share a name and not yet a body. */
const DIFFERENT = [
  "bin_total",
  "code_place",
  "load_place",
  "main",
  "marks",
  "scan",
  "widen",
];

/** Functions of a WGSL text: name, and text without comments and white space. */
function functionsOf(source: string): [name: string, text: string][] {
  const found = source.matchAll(/^(?:fn (\w+)\(.*}$|fn (\w+)\([^]*?^}$)/gm);
  return Array.from(found, ([text, line, block]) => [
    line ?? block,
    text.replace(/\/\/.*$/gm, "").replace(/\s+/g, ""),
  ]);
}

function* files(): Generator<[file: string, source: string]> {
  for (const { name: folder, isDirectory } of Deno.readDirSync(FOLDER)) {
    // The check of a device has quads of u32 in place of f32.
    if (!isDirectory || folder === "check") continue;
    for (const { name } of Deno.readDirSync(new URL(`${folder}/`, FOLDER))) {
      if (!name.endsWith(".wgsl")) continue;
      yield [`${folder}/${name}`, Deno.readTextFileSync(new URL(`${folder}/${name}`, FOLDER))];
    }
  }
}

Deno.test("functions of one name have one body in all kernels", () => {
  const bodies = new Map<string, Map<string, string[]>>();
  for (const [file, source] of files()) {
    for (const [name, body] of functionsOf(source)) {
      const known = bodies.get(name) ?? new Map<string, string[]>();
      bodies.set(name, known.set(body, [...known.get(body) ?? [], file]));
    }
  }
  const drifted = [...bodies].filter(([, known]) => known.size > 1)
    .map(([name, known]) => [name, [...known.values()]] as const);
  assertEquals(drifted.filter(([name]) => !DIFFERENT.includes(name)), []);
  // A name leaves the list when its bodies have become one.
  assertEquals(DIFFERENT.filter((name) => !drifted.some(([other]) => other === name)), []);
  const sharers = [...bodies.get("store_partial")!.values()].flat();
  assert(sharers.length >= 4, sharers.join());
});
