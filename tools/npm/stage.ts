/** Copies the published sources into a folder, in the form in which they are bundled for npm. */
import { inOrderOfLikeness } from "./likeness.ts";
import { shakeable } from "./shakeable.ts";
import { renamed, shortNames } from "./short_names.ts";
import { TextModule } from "./wgsl_module.ts";

const ROOT = new URL("../../", import.meta.url);

/** Folders of `kernels/` that are not published. */
const UNPUBLISHED = /^kernels\/(attend\/twin|probe|shared|verify)\//;

/** Lines that are no part of the package: comments and imports. */
const NO_CODE = /^(?:\/\/|\/?\*|import\b)/;

/** The module of the package: what both of its entry points export. */
export const PACKAGE_ENTRY = "hashattention.ts";

/**
 * Writes the sources into `folder`.
 *
 * @param shake Whether values are marked, so that bundlers drop those that nobody imports. Types
 * are made of sources without marks, which hide the types of literals.
 */
export function stageSources(folder: string, shake: boolean): void {
  const texts = new TextModule();
  const marked = shake ? shakeable : (source: string) => source;
  const sources = publishedSources();
  const isWgsl = (path: string) => path.endsWith(".wgsl");
  const short = shortNames([...sources].filter(([path]) => isWgsl(path)).map(([, text]) => text));
  for (const [path, source] of sources) {
    if (isWgsl(path)) {
      const up = "../".repeat(path.split("/").length - 1);
      const name = path.replace(/\W/g, "_");
      texts.add(name, renamed(source, short));
      write(folder, `${path}.ts`, `export { ${name} as default } from "${up}texts.ts";\n`);
    } else if (path.endsWith(".ts")) {
      const imports = source.replace(/"([^"\n]+\.wgsl)" with \{ type: "text" \}/g, '"$1.ts"');
      write(folder, path, marked(imports));
    }
  }
  write(folder, "texts.ts", String(texts));
  write(folder, PACKAGE_ENTRY, entryOf(sources));
  write(folder, "deno.json", JSON.stringify({ compilerOptions: { strict: true } }));
}

/** The module of the package. It imports modules that are alike one after another. */
function entryOf(sources: ReadonlyMap<string, string>): string {
  const ends = ["mod.ts", "kernels/mod.ts"];
  const modules = [...sources].filter(([path]) => path.endsWith(".ts") && !ends.includes(path));
  const linesOf = ([, source]: (typeof modules)[number]) =>
    source.split("\n").map((line) => line.trim()).filter((line) => !NO_CODE.test(line));
  return [
    ...inOrderOfLikeness(modules, linesOf).map(([path]) => `import "./${path}";\n`),
    ...ends.map((path) => `export * from "./${path}";\n`),
  ].join("");
}

/** The published sources by their paths. */
function publishedSources(): ReadonlyMap<string, string> {
  const paths = [...filesIn("kernels/"), "mod.ts"].filter((path) =>
    !UNPUBLISHED.test(path) && !/_test\.ts$|\/testing_[^/]*$/.test(path)
  );
  return new Map(paths.map((path) => [path, Deno.readTextFileSync(new URL(path, ROOT))]));
}

function write(folder: string, path: string, text: string): void {
  Deno.mkdirSync(`${folder}/${path}`.replace(/\/[^/]+$/, ""), { recursive: true });
  Deno.writeTextFileSync(`${folder}/${path}`, text);
}

function filesIn(path: string): string[] {
  return Array.from(
    Deno.readDirSync(new URL(path, ROOT)),
    ({ name, isDirectory }) => isDirectory ? filesIn(`${path}${name}/`) : [`${path}${name}`],
  ).flat().sort();
}
