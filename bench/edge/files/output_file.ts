/** Files that a command is told to write: whole or not at all, and pipes and devices written through. */
import { replaceFile, tryReplaceFile } from "./replace_file.ts";
import { cannotWrite, isBrokenPipe } from "../system_failure.ts";

/**
 * Makes sure that `path` can be written, before a long computation would be in vain.
 *
 * @throws {UsageError | SystemError} in one sentence, if it cannot.
 */
export function checkWritable(path: string): void {
  try {
    tryReplaceFile(path);
  } catch (error) {
    throw cannotWrite(path, error);
  }
}

/**
 * Writes a file so that whoever looks finds all of it. A reader of a pipe that has gone has what it
 * wanted.
 *
 * @throws {UsageError | SystemError} in one sentence, leaving nothing behind.
 */
export function writeWhole(path: string, content: string | Uint8Array): void {
  const bytes = typeof content === "string" ? new TextEncoder().encode(content) : content;
  try {
    replaceFile(path, bytes);
  } catch (error) {
    if (!isBrokenPipe(error)) throw cannotWrite(path, error);
  }
}

/**
 * Makes a folder, and those around it, where it is missing.
 *
 * @throws {UsageError | SystemError} in one sentence, if it cannot be made.
 */
export function makeFolder(path: string): void {
  try {
    Deno.mkdirSync(path, { recursive: true });
  } catch (error) {
    throw cannotWrite(path, error);
  }
}
