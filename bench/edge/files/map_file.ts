/** Reads and writes files of learned maps; `kernels/maps/map_file.ts` has the format. */
import type { LearnedMap } from "../../../kernels/maps/learned_map.ts";
import { parseMap, type ParseMapOptions, writeMap } from "../../../kernels/maps/map_file.ts";
import { InvalidFileError } from "../../../kernels/maps/safetensors.ts";
import { parseFile, shownPath } from "./parse_file.ts";
import { SHIPPED_HEADS } from "./shipped_heads.ts";
import { replaceFile } from "./replace_file.ts";
import { systemReason } from "../system_reason.ts";

/** The map for the shipped trace, trained on other texts; see `fixtures/README.md`. */
export const SHIPPED_MAP: URL = SHIPPED_HEADS[0].map;

/**
 * Reads the map at `path`; `fixtures/README.md` describes the format.
 *
 * @throws {InvalidFileError} naming the file, if it cannot be read or {@linkcode parseMap} refuses
 * it.
 */
export function loadMap(path: string | URL, options: ParseMapOptions = {}): Promise<LearnedMap> {
  return parseFile(path, "map", (bytes) => parseMap(bytes, options));
}

/**
 * Writes a map to `path`. An existing file is replaced as a whole or, on an error, left as it was.
 *
 * @throws {InvalidFileError} if {@linkcode writeMap} refuses the map or the file cannot be written,
 * with the system's error as its cause.
 */
export function saveMap(path: string | URL, map: LearnedMap): void {
  const bytes = writeMap(map);
  try {
    replaceFile(shownPath(path), bytes);
  } catch (error) {
    throw new InvalidFileError(
      `cannot write the map ${shownPath(path)}: ${systemReason(error)}`,
      { cause: error },
    );
  }
}
