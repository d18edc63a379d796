/** Test support: which folder may import from which, checked on what Deno says of the modules. */

/** An import of one source file by another; paths from the root of the repository. */
export interface Import {
  readonly from: string;
  readonly to: string;
}

/**
 * What may be imported from where: for each folder, the folders whose files its own may import. The
 * longest folder that fits a path counts. Tests may import anything.
 */
export const LAYERS: Readonly<Record<string, readonly string[]>> = {
  "mod.ts": ["kernels"],
  kernels: ["kernels"],
  "kernels/maps": ["kernels/maps", "kernels/core"],
  fixtures: ["fixtures", "kernels"],
  bench: ["bench", "fixtures", "kernels", "deno.json"],
  tools: ["tools", "bench", "fixtures", "kernels", "testing", "deno.json"],
  testing: ["testing", "bench", "fixtures", "kernels"],
};

/** Sentences on the imports that the layers do not allow. */
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

/** Whether a file is for tests alone. */
export function isTest(path: string): boolean {
  return /(^|\/)(testing_[^/]*|[^/]*_test)\.ts$/.test(path);
}

/** The sources below `root` that are no tests. */
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

/** What the sources import of each other, by `deno info`. */
export async function importsOf(root: URL, sources: readonly string[]): Promise<Import[]> {
  const entry = await Deno.makeTempFile({ suffix: ".ts" });
  try {
    const lines = sources.map((path) => `import ${JSON.stringify(new URL(path, root).href)};`);
    await Deno.writeTextFile(entry, lines.join("\n"));
    const { success, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
      args: ["info", "--json", "--config", new URL("deno.json", root).pathname, entry],
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
