/** Appends whole lines to files. */
import { writeAll } from "./replace_file.ts";
import { cannotWrite } from "../system_failure.ts";

/**
 * Appends to an open file in one write, so that a killed process leaves all of the text or none. If
 * the disk is full, the part that was written is cut off again.
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

/** Reads all bytes of an open file. */
export function readAll(file: Deno.FsFile): Uint8Array {
  const bytes = new Uint8Array(file.statSync().size);
  file.seekSync(0, Deno.SeekMode.Start);
  let offset = 0;
  while (offset < bytes.length) {
    const count = file.readSync(bytes.subarray(offset));
    if (count === null) break;
    offset += count;
  }
  return bytes.subarray(0, offset);
}
