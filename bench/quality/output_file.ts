/** Files that are there whole or not at all. */
import { systemReason } from "../../fixtures/system_reason.ts";
import { UsageError } from "../usage_error.ts";

function temporary(path: string): string {
  return `${path}.${Deno.pid}.tmp`;
}

/**
 * Makes sure that `path` can be written, before a long computation would be in vain.
 *
 * @throws {UsageError} in one sentence, if it cannot.
 */
export function checkWritable(path: string): void {
  attempt(path, () => {
    if (isFolder(path)) throw new Error("it is a folder");
    Deno.writeTextFileSync(temporary(path), "");
    Deno.removeSync(temporary(path));
  });
}

/**
 * Writes a file beside `path` and renames it, so that whoever looks finds all of it.
 *
 * @throws {UsageError} in one sentence, leaving nothing behind.
 */
export function writeWhole(path: string, content: string | Uint8Array): void {
  const bytes = typeof content === "string" ? new TextEncoder().encode(content) : content;
  attempt(path, () => {
    Deno.writeFileSync(temporary(path), bytes);
    Deno.renameSync(temporary(path), path);
  });
}

function attempt(path: string, write: () => void): void {
  try {
    write();
  } catch (error) {
    try {
      Deno.removeSync(temporary(path));
    } catch {
      // It was never made.
    }
    throw new UsageError(`Cannot write ${path}: ${systemReason(error)}.`);
  }
}

function isFolder(path: string): boolean {
  try {
    return Deno.statSync(path).isDirectory;
  } catch {
    return false;
  }
}
