/** Every program in the documentation must type-check and run without a change. */
import { assert, assertEquals, assertMatch } from "@std/assert";
import { SHIPPED_MAP } from "./bench/edge/files/map_file.ts";

const ROOT = new URL("./", import.meta.url);
const DOCUMENTED = ["README.md", "mod.ts", "docs/", "bench/", "fixtures/", "kernels/", "tools/"];

interface Snippet {
  /** The file that shows it, and its number among that file's snippets. */
  readonly name: string;
  /** The rest of the fence's first line, after the language. */
  readonly attributes: string;
  readonly code: string;
}

/** Paths from the root of the files that may show a program. */
function* documents(path: string): Iterable<string> {
  if (!path.endsWith("/")) {
    if (/\.(md|ts)$/.test(path) && !/(_test|\/testing_?\w*)\.ts$/.test(path)) yield path;
    return;
  }
  for (const { name, isDirectory } of Deno.readDirSync(new URL(path, ROOT))) {
    yield* documents(`${path}${name}${isDirectory ? "/" : ""}`);
  }
}

/** The fenced TypeScript and JavaScript of a Markdown file, or of a module's JSDoc. */
function snippetsOf(path: string): Snippet[] {
  const text = Deno.readTextFileSync(new URL(path, ROOT));
  const pages = path.endsWith(".md") ? [text] : [...text.matchAll(/^[ \t]*\/\*\*\n([^]*?)\*\//gm)]
    .map(([, doc]) => doc.replace(/^[ \t]*\* ?/gm, ""));
  const fence = /^```(?:ts|tsx|typescript|js|jsx|javascript)\b(.*)\n([^]*?)^```/gm;
  return pages.flatMap((page) => [...page.matchAll(fence)])
    .map(([, attributes, code], i) => ({ name: `${path} ${i + 1}`, attributes, code }));
}

/** Ends the program on a GPU error, which otherwise would not be noticed. */
const GUARD = `
  const request = GPUAdapter.prototype.requestDevice;
  GPUAdapter.prototype.requestDevice = async function (...args) {
    const device = await request.apply(this, args);
    device.addEventListener("uncapturederror", ({ error }) => {
      console.error("Uncaptured GPU error:", error.message);
      Deno.exit(1);
    });
    return device;
  };`;

const snippets = DOCUMENTED.flatMap((path) => [...documents(path)]).flatMap(snippetsOf);
const folder = await Deno.makeTempDir();
globalThis.addEventListener("unload", () => Deno.removeSync(folder, { recursive: true }));
const fileOf = (index: number) => `${folder}/snippet_${index}.ts`;
// A reader has the package under its name, and a map file beside the program.
const imports = {
  "@hashattention/bench": new URL("mod.ts", ROOT).href,
  "@hashattention/bench/kernels": new URL("kernels/mod.ts", ROOT).href,
};
await Deno.writeTextFile(`${folder}/deno.json`, JSON.stringify({ imports, lock: false }));
await Deno.copyFile(SHIPPED_MAP, `${folder}/map.safetensors`);
await Deno.writeTextFile(`${folder}/guard.js`, GUARD);
await Promise.all(snippets.map(({ code }, i) => Deno.writeTextFile(fileOf(i), code)));

async function deno(...args: string[]) {
  const { success, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
    args,
    cwd: folder,
    env: { NO_COLOR: "1", XDG_RUNTIME_DIR: Deno.env.get("XDG_RUNTIME_DIR") ?? "/tmp" },
  }).output();
  const [out, err] = [stdout, stderr].map((bytes) => new TextDecoder().decode(bytes));
  return { success, out, err };
}

Deno.test("the documentation's programs are found, and none is exempt", () => {
  const names = snippets.map(({ name }) => name);
  for (const name of ["README.md 1", "mod.ts 1", "kernels/maps/map_file.ts 1"]) {
    assert(names.includes(name), `${name} is not among ${names.join(", ")}`);
  }
  for (const { name, attributes, code } of snippets) {
    assertEquals(attributes, "", `the fence of ${name}`);
    assert(/ from "@hashattention\/bench["/]/.test(code), `${name} does not import the package`);
    assert(!/\.requestDevice\(/.test(code), `${name} does not call requestDecoderDevice()`);
  }
});

Deno.test("the documentation's programs type-check", async () => {
  const { success, err } = await deno("check", "--quiet", ...snippets.map((_, i) => fileOf(i)));
  assert(success, `${err}\n${snippets.map(({ name }, i) => `${fileOf(i)}: ${name}`).join("\n")}`);
});

function run(file: string) {
  return deno("run", "--quiet", "--no-check", "--allow-read", "--preload=guard.js", file);
}

for (const [i, { name }] of snippets.entries()) {
  Deno.test(`the program ${name} of the documentation runs`, async () => {
    const { success, out, err } = await run(fileOf(i));
    assert(success, err);
    if (name.startsWith("mod.ts")) {
      assertMatch(out, /^head 0 attends token \d+\.\d on average\n$/);
    }
  });
}

Deno.test("a program with an uncaptured GPU error fails", async () => {
  const readme = snippets.find(({ name }) => name === "README.md 1")!;
  const wrong = `${readme.code}\ndevice.queue.writeBuffer(out, 2 ** 30, Uint32Array.of(1));\n`;
  await Deno.writeTextFile(`${folder}/wrong.ts`, wrong);
  const { success, err } = await run(`${folder}/wrong.ts`);
  assert(!success);
  assertMatch(err, /Uncaptured GPU error/);
});
