/** The folder of a run's files. */
import { UsageError } from "../../base/usage_error.ts";
import { statIfThere } from "./paths.ts";

/**
 * Makes a folder that no other run has: `dir`, or `dir-2`, `dir-3` and so on. Two runs that start
 * in the same second are told the same name.
 *
 * @returns its path.
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
 * Makes sure that a folder can be made where `dir` is, as far as what is there goes.
 *
 * @param what What is to be written into it.
 * @throws {UsageError} in one sentence, where a file is in the way.
 */
export function refuseFile(what: string, dir: string): void {
  for (const at of ancestors(dir)) {
    const found = statIfThere(at);
    if (found === null) continue;
    if (found.isDirectory) return;
    const why = at === dir ? "--out takes a folder" : `${at} is a file, not a folder`;
    throw new UsageError(`Cannot write ${what} to ${dir}: ${why}.`);
  }
}

/** A path and all folders around it, from within. */
function ancestors(path: string): string[] {
  const parent = path.replace(/[/\\]*[^/\\]+[/\\]*$/, "");
  return parent === "" || parent === path ? [path] : [path, ...ancestors(parent)];
}

/** The outermost folder of `dir` that does not exist yet, or null where all do. */
export function firstMissing(dir: string): string | null {
  let missing: string | null = null;
  for (let at = dir.replace(/[/\\]+$/, "");; at = at.replace(/[/\\]*[^/\\]+$/, "")) {
    if (at === "" || exists(at)) return missing;
    missing = at;
  }
}

function exists(path: string): boolean {
  try {
    Deno.lstatSync(path);
    return true;
  } catch (error) {
    // What cannot be looked at is not this run's to remove.
    return !(error instanceof Deno.errors.NotFound);
  }
}

/** Removes a file or a folder with all in it, if it is there and can be removed. */
export function removeQuietly(path: string): void {
  try {
    Deno.removeSync(path, { recursive: true });
  } catch {
    // It was never made.
  }
}
