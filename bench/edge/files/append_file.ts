/** Files that grow by whole lines. */
import { writeAll } from "./replace_file.ts";
import { cannotWrite } from "../system_failure.ts";

/**
 * Appends to an open file in one write, so that a killed process leaves all of the text or none.
 * What a full disk took of it is cut off again.
 *
 * @param path Names the file in errors.
 * @throws {UsageError | SystemError} in one sentence.
 */
export function appendWhole(file: Deno.FsFile, path: string, text: string): void {
  const { size } = file.statSync();
  try {
    writeAll(file, new TextEncoder().encode(text));
  } catch (error) {
    file.truncateSync(size);
    throw cannotWrite(path, error);
  }
}

/** All bytes of an open file. */
export function readAll(file: Deno.FsFile): Uint8Array {
  const bytes = new Uint8Array(file.statSync().size);
  file.seekSync(0, Deno.SeekMode.Start);
  let at = 0;
  while (at < bytes.length) {
    const count = file.readSync(bytes.subarray(at));
    if (count === null) break;
    at += count;
  }
  return bytes.subarray(0, at);
}
