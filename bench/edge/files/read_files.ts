/** Reads files of results, peers and quality. */
import { systemReason } from "../system_reason.ts";
import { UsageError } from "../../base/usage_error.ts";
import { parsePeers, type PeerTime } from "../../findings/peers.ts";
import type { StoredResults } from "../../results/parse_results.ts";
import { parseStored } from "../../results/parse_stored.ts";
import { parseQuality, type QualityRow } from "../../results/quality_rows.ts";
import { fileOrIn } from "./paths.ts";

/**
 * Reads the text of a file.
 *
 * @throws {UsageError} if it cannot be read.
 */
export function readText(path: string): string {
  let text: string;
  try {
    text = Deno.readTextFileSync(path);
  } catch (error) {
    throw new UsageError(`Cannot read ${path}: ${systemReason(error)}.`);
  }
  // UTF-16, which spreadsheets write, is full of NULs.
  if (text.includes("\0")) throw new UsageError(`${path} is not text in UTF-8.`);
  return text;
}

/**
 * Reads files of peers.
 *
 * @throws {UsageError} in one sentence, for the first file that cannot be read or parsed.
 */
export function readPeers(paths: readonly string[]): PeerTime[] {
  return paths.flatMap((path) => parsePeers(readText(path), path));
}

/**
 * Reads a results file, `results.csv` of a results folder, or a file that `bench --json` wrote.
 *
 * @throws {UsageError} in one sentence, with the reason why it cannot be read.
 */
export function readResults(path: string): StoredResults {
  const file = fileOrIn(path, "results.csv");
  return parseStored(readText(file), file);
}

/**
 * Reads a file that `deno task quality --csv` wrote.
 *
 * @throws {UsageError} if it cannot be read, has other columns or has a damaged line, which the
 * message names.
 */
export function readQuality(path: string): QualityRow[] {
  return parseQuality(readText(path), path);
}
