/** Looks at paths of the file system. */

/** Facts about the file at a path, following links; null if there is none or it is inaccessible. */
export function statIfThere(path: string): Deno.FileInfo | null {
  try {
    return Deno.statSync(path);
  } catch {
    return null;
  }
}

/** The path itself, or the file `name` in it if it is a folder. */
export function fileOrIn(path: string, name: string): string {
  // Reading the file reports a wrong path.
  const isFolder = statIfThere(path)?.isDirectory ?? false;
  return isFolder ? `${path.replace(/[/\\]+$/, "")}/${name}` : path;
}
