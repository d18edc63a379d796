/** Writes the files that a user names: regular ones whole or not at all, others directly. */
import { replaceFile, tryReplaceFile } from "./replace_file.ts";
import { cannotWrite, isBrokenPipe } from "../system_failure.ts";

/**
 * Checks that `path` can be written, before a long computation whose result goes there.
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
 * Writes a file so that readers see all of it or none. A pipe that its reader has closed is not an
 * error, since the reader has read enough.
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
 * Makes a folder and its parents if they are missing.
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
