/** Makes and checks the folder of a run's files. */
import { UsageError } from "../../base/usage_error.ts";
import { statIfThere } from "./paths.ts";

/**
 * Makes a folder that no other run has: `dir`, or `dir-2`, `dir-3` and so on. A default name is the
 * time, so two runs that start in the same second ask for the same name.
 *
 * @returns The path of the folder.
 */
export function claimFolder(dir: string): string {
  const parent = dir.replace(/[/\\]*[^/\\]+$/, "");
  if (parent !== "") Deno.mkdirSync(parent, { recursive: true });
  for (let copy = 1;; copy++) {
    const path = copy === 1 ? dir : `${dir}-${copy}`;
    try {
      Deno.mkdirSync(path);
      return path;
    } catch (error) {
      if (!(error instanceof Deno.errors.AlreadyExists)) throw error;
    }
  }
}

/**
 * Checks that no file stands where the folder `dir` or one of its parents should be.
 *
 * @param what The things to write into the folder, for errors.
 * @param flag The flag that names the folder, for errors.
 * @throws {UsageError} in one sentence, if a file is in the way.
 */
export function refuseFile(what: string, dir: string, flag = "--out"): void {
  for (const path of withParents(dir)) {
    const found = statIfThere(path);
    if (found === null) continue;
    if (found.isDirectory) return;
    const why = path === dir ? `${flag} takes a folder` : `${path} is a file, not a folder`;
    throw new UsageError(`Cannot write ${what} to ${dir}: ${why}.`);
  }
}

/** A path and its parent folders, innermost first. */
function withParents(path: string): string[] {
  const parent = path.replace(/[/\\]*[^/\\]+[/\\]*$/, "");
  return parent === "" || parent === path ? [path] : [path, ...withParents(parent)];
}

/** The outermost folder on the path `dir` that does not exist yet; null if all exist. */
export function firstMissing(dir: string): string | null {
  let missing: string | null = null;
  for (let path = dir.replace(/[/\\]+$/, "");; path = path.replace(/[/\\]*[^/\\]+$/, "")) {
    if (path === "" || exists(path)) return missing;
    missing = path;
  }
}

function exists(path: string): boolean {
  try {
    Deno.lstatSync(path);
    return true;
  } catch (error) {
    // A path that cannot be inspected counts as existing, so that this run never removes it.
    return !(error instanceof Deno.errors.NotFound);
  }
}

/** Removes a file or a folder with its contents, and ignores errors. */
export function removeQuietly(path: string): void {
  try {
    Deno.removeSync(path, { recursive: true });
  } catch {
    // It was never created.
  }
}
