/** Reads files for the parsers, which take bytes. */
import { fileURLToPath } from "node:url";
import { InvalidFileError } from "../../../kernels/maps/safetensors.ts";
import { systemReason } from "../system_reason.ts";

/** A path for messages. */
export function shownPath(path: string | URL): string {
  return path instanceof URL ? fileURLToPath(path) : path;
}

/**
 * Reads a file and parses it.
 *
 * @param what The kind of file for errors, such as `trace`.
 * @throws {InvalidFileError} naming the file, if it cannot be read or the parser refuses it.
 */
export async function parseFile<T>(
  path: string | URL,
  what: string,
  parse: (bytes: Uint8Array) => T,
): Promise<T> {
  const shown = shownPath(path);
  let bytes: Uint8Array;
  try {
    bytes = await Deno.readFile(path);
  } catch (error) {
    throw new InvalidFileError(
      `cannot read the ${what} ${shown}: ${systemReason(error)}`,
      { cause: error },
    );
  }
  try {
    return parse(bytes);
  } catch (error) {
    if (error instanceof InvalidFileError) {
      throw new InvalidFileError(`${shown}: ${error.message}`);
    }
    throw error;
  }
}
