/** Test support: the table of which folder may import from which. `deno info` gives the imports. */
import { fileURLToPath } from "node:url";

/** An import of one source file by another, as paths from the root of the repository. */
export interface Import {
  readonly from: string;
  readonly to: string;
}

/** Folders that every part of the suite may import. */
const SUITE = ["fixtures", "kernels"];

/** Folders of `bench/` that several commands need, and that also run in a browser. */
const WEB_SHARED = [
  "bench/base",
  "bench/cases",
  "bench/measure",
  "bench/selection",
  "bench/results",
  "bench/runner",
  "bench/frontier_runner",
  "bench/findings",
  "bench/tables",
  "bench/chart",
  "bench/tuning",
  "bench/page",
];

/** All folders of `bench/` that several commands need. */
const SHARED = [...WEB_SHARED, "bench/flags", "bench/edge"];

/** Folders that also run in a browser. */
export const WEB_FOLDERS: readonly string[] = ["kernels", ...WEB_SHARED];

/** A folder for each command. */
const COMMANDS = [
  "bench/run",
  "bench/compare",
  "bench/frontier",
  "bench/fit",
  "bench/quality",
  "bench/report",
  "bench/tune",
];

/** Sources that may use Deno's own interfaces: files, signals, terminal, environment, system. */
const DENO_EDGE =
  /^(bench\/edge\/|bench\/[^/]+\/(worker\/)?main\.ts$|bench\/attention_bench\.ts$|tools\/)/;

/** Whether a source may use Deno's own interfaces. */
export function isEdge(path: string): boolean {
  return DENO_EDGE.test(path);
}

/**
 * For each folder, the folders that its files may import from. A file belongs to the innermost
 * folder of the table that contains it. Tests may import anything.
 */
export const LAYERS: Readonly<Record<string, readonly string[]>> = {
  "mod.ts": ["kernels"],
  kernels: ["kernels"],
  // Problems and texts are the ground: they know nothing of variants.
  "kernels/core/problem": ["kernels/core/problem"],
  "kernels/core/wgsl": ["kernels/core/wgsl"],
  "kernels/core/run": ["kernels/core"],
  "kernels/maps": ["kernels/maps", "kernels/core"],
  fixtures: ["fixtures", "kernels"],
  // The stages of a run, in the order of the data. All of them run in a browser.
  "bench/base": ["bench/base"],
  "bench/cases": ["bench/cases", "bench/base", ...SUITE],
  "bench/measure": ["bench/measure", "bench/base", ...SUITE],
  "bench/selection": ["bench/selection", "bench/cases", "bench/base", ...SUITE],
  "bench/results": ["bench/results", "bench/selection", "bench/base", ...SUITE],
  "bench/runner": [
    "bench/runner",
    "bench/cases",
    "bench/measure",
    "bench/results",
    "bench/selection",
    "bench/tables",
    "bench/base",
    ...SUITE,
  ],
  "bench/frontier_runner": [
    "bench/frontier_runner",
    "bench/cases",
    "bench/measure",
    "bench/results",
    "bench/runner",
    "bench/selection",
    "bench/base",
    ...SUITE,
  ],
  "bench/findings": ["bench/findings", "bench/cases", "bench/results", "bench/base", ...SUITE],
  "bench/tables": ["bench/tables", "bench/findings", "bench/results", "bench/base", ...SUITE],
  "bench/chart": ["bench/chart", "bench/findings", "bench/results", "bench/base"],
  "bench/tuning": [
    "bench/tuning",
    "bench/cases",
    "bench/measure",
    "bench/tables",
    "bench/base",
    ...SUITE,
  ],
  "bench/page": [
    "bench/page",
    "bench/chart",
    "bench/findings",
    "bench/measure",
    "bench/results",
    "bench/tables",
    "bench/tuning",
    "bench/base",
    ...SUITE,
  ],
  "bench/flags": [
    "bench/flags",
    "bench/cases",
    "bench/measure",
    "bench/results",
    "bench/tables",
    "bench/base",
    ...SUITE,
  ],
  // The page: its worker and its document.
  "bench/browser": ["bench/browser", ...WEB_SHARED, "bench/flags", ...SUITE],
  // The Deno edge, and the commands: none imports from another.
  "bench/edge": [
    "bench/edge",
    "bench/flags",
    "bench/findings",
    "bench/measure",
    "bench/results",
    "bench/tables",
    "bench/tuning",
    "bench/base",
    "deno.json",
    ...SUITE,
  ],
  "bench/attention_bench.ts": [...SHARED, ...SUITE],
  ...Object.fromEntries(COMMANDS.map((name) => [name, [name, ...SHARED, ...SUITE]])),
  tools: ["tools", ...SHARED, "bench/browser", ...SUITE, "testing", "deno.json"],
  testing: ["testing", ...SHARED, ...SUITE],
};

/** A message for each import that the layers do not allow. */
export function forbiddenImports(imports: readonly Import[]): string[] {
  return imports.flatMap(({ from, to }) => {
    const folder = longestFolder(Object.keys(LAYERS), from);
    if (folder === undefined) return [`${from} lies in no folder of the table`];
    if (longestFolder(LAYERS[folder], to) !== undefined) return [];
    return [`${from} imports ${to}; ${folder} may import from ${LAYERS[folder].join(", ")} alone`];
  });
}

function longestFolder(folders: readonly string[], path: string): string | undefined {
  return folders.filter((folder) => path === folder || path.startsWith(`${folder}/`))
    .sort((a, b) => b.length - a.length)[0];
}

/** Whether a file is used by tests only. */
export function isTest(path: string): boolean {
  return /(^|\/)(testing_[^/]*|[^/]*_test)\.ts$|^testing\//.test(path);
}

/** The sources below `root`, without tests. */
export function sourcesOf(root: URL): string[] {
  const found: string[] = [];
  const walk = (folder: string) => {
    for (const { name, isDirectory } of Deno.readDirSync(new URL(folder, root))) {
      if (isDirectory) walk(`${folder}${name}/`);
      else if (name.endsWith(".ts") && !isTest(name)) found.push(`${folder}${name}`);
    }
  };
  for (const folder of ["kernels/", "fixtures/", "bench/", "tools/"]) walk(folder);
  return [...found, "mod.ts"].sort();
}

/** The imports between the sources, from `deno info`. */
export async function importsOf(root: URL, sources: readonly string[]): Promise<Import[]> {
  const entry = await Deno.makeTempFile({ suffix: ".ts" });
  try {
    const lines = sources.map((path) => `import ${JSON.stringify(new URL(path, root).href)};`);
    await Deno.writeTextFile(entry, lines.join("\n"));
    const { success, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
      args: ["info", "--json", "--config", fileURLToPath(new URL("deno.json", root)), entry],
    }).output();
    if (!success) throw new Error(new TextDecoder().decode(stderr));
    const { modules } = JSON.parse(new TextDecoder().decode(stdout)) as { modules: Module[] };
    const local = (specifier?: string) =>
      specifier?.startsWith(root.href) ? specifier.slice(root.href.length) : undefined;
    return modules.flatMap(({ specifier, dependencies = [] }) =>
      dependencies.flatMap(({ code, type }) => {
        const [from, to] = [local(specifier), local((code ?? type)?.specifier)];
        return from && to && !isTest(from) ? [{ from, to }] : [];
      })
    );
  } finally {
    await Deno.remove(entry);
  }
}

interface Module {
  readonly specifier: string;
  readonly dependencies?: readonly {
    readonly code?: { readonly specifier?: string };
    readonly type?: { readonly specifier?: string };
  }[];
}
