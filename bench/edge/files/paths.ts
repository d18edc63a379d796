/** What is at a path. */

/** What is at a path, links followed; null where nothing is, or nothing that can be looked at. */
export function statIfThere(path: string): Deno.FileInfo | null {
  try {
    return Deno.statSync(path);
  } catch {
    return null;
  }
}

/** A path to a file, or to the file `name` of the folder that it is. */
export function fileOrIn(path: string, name: string): string {
  // What is wrong with the path is said where the file is read.
  const isFolder = statIfThere(path)?.isDirectory ?? false;
  return isFolder ? `${path.replace(/[/\\]+$/, "")}/${name}` : path;
}
