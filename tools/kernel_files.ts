/** The WGSL files of the suite. */

const KERNELS = new URL("../kernels/", import.meta.url);

/** All kernels, sorted by path, without the shared texts. */
export function kernelFiles(): URL[] {
  const files: URL[] = [];
  for (const folder of Deno.readDirSync(KERNELS)) {
    if (!folder.isDirectory || folder.name === "shared") continue;
    const url = new URL(`${folder.name}/`, KERNELS);
    for (const { name } of Deno.readDirSync(url)) {
      if (name.endsWith(".wgsl")) files.push(new URL(name, url));
    }
  }
  return files.sort((a, b) => a.pathname < b.pathname ? -1 : 1);
}

/** The source of a shared text. */
export function readShared(name: string): string {
  return Deno.readTextFileSync(new URL(`shared/${name}.wgsl`, KERNELS));
}

/** The path of a kernel below `kernels/`, whatever folder holds the checkout. */
export function kernelPath(file: URL): string {
  return file.pathname.slice(KERNELS.pathname.length);
}
