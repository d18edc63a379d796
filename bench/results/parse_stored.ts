/** Reads stored results of either form. */
import { parseResults, type StoredResults } from "./parse_results.ts";
import { parseRun, rowsOfRun } from "./run_json.ts";

/**
 * The rows of a `results.csv`, or of a document that `bench --json` wrote.
 *
 * @param path Names the file in errors.
 * @throws {UsageError} in one sentence, with the reason why it cannot be read.
 */
export function parseStored(text: string, path: string): StoredResults {
  if (!/^\ufeff?\s*\{/.test(text)) return parseResults(text, path);
  return { rows: rowsOfRun(parseRun(text, path)), warning: null };
}
