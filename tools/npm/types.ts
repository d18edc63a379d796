/** The types of the package: a declaration file for each module that the entry points need. */
import { SystemError } from "../../bench/base/system_error.ts";

/** The modules whose types the package's entry points are. */
const ENTRIES = ["mod", "kernels/mod"];

/** Writes the types of the staged sources in `staged` into `out`. */
export async function writeTypes(staged: string, out: string): Promise<void> {
  const emitted = `${staged}/types`;
  const sources = ["mod.ts", ...filesIn(staged, "kernels/")]
    .filter((path) => path.endsWith(".ts") && !path.endsWith(".wgsl.ts"));
  const { success, stderr } = await new Deno.Command(Deno.execPath(), {
    args: ["transpile", "--quiet", "--declaration", "--outdir", emitted, ...sources],
    cwd: staged,
    env: { NO_COLOR: "1" },
    stdout: "null",
    stderr: "piped",
  }).output();
  if (!success) {
    throw new SystemError(`Cannot make types: ${new TextDecoder().decode(stderr).trim()}`);
  }
  const waiting = [...ENTRIES];
  const written = new Set<string>();
  for (let name = waiting.pop(); name !== undefined; name = waiting.pop()) {
    if (written.has(name)) continue;
    written.add(name);
    const text = Deno.readTextFileSync(`${emitted}/${name}.d.ts`);
    waiting.push(...importsOf(text, name));
    const path = `${out}/${name}.d.ts`;
    Deno.mkdirSync(path.replace(/\/[^/]+$/, ""), { recursive: true });
    Deno.writeTextFileSync(path, asPublished(text));
  }
}

/** A declaration file as TypeScript expects it beside JavaScript. */
function asPublished(text: string): string {
  return text.replace(/^\/\/\/ <amd-module.*\n/m, "")
    .replace(/((?:from|import\()\s*")(\.[^"]+)\.ts"/g, '$1$2.js"');
}

/** Names of the modules that a declaration file imports, without their ending. */
function importsOf(text: string, name: string): string[] {
  return Array.from(
    text.matchAll(/(?:from|import\()\s*"(\.[^"]+)\.ts"/g),
    ([, path]) => new URL(path, `file:///${name}`).pathname.slice(1),
  );
}

function filesIn(root: string, path: string): string[] {
  return Array.from(
    Deno.readDirSync(`${root}/${path}`),
    ({ name, isDirectory }) => isDirectory ? filesIn(root, `${path}${name}/`) : [`${path}${name}`],
  ).flat();
}
