/** What an earlier run left in the folder that a run is to go on in. */
import { readResults } from "./read_files.ts";
import { latestRows, type ResultRow } from "../../results/row.ts";
import { UsageError } from "../../base/usage_error.ts";

/**
 * The latest rows in `results.csv` of the folder `dir`; none where it is missing or was killed
 * before its first row.
 *
 * @throws {UsageError} in one sentence, if the file cannot be read or has rows of another commit
 * than `commit`: they would be taken for one measurement.
 */
export function earlierRows(dir: string, commit: string): ResultRow[] {
  const path = `${dir}/results.csv`;
  if (!hasLine(path)) return [];
  const { rows } = readResults(path);
  const other = rows.find((row) => row.commit !== commit);
  if (other) {
    throw new UsageError(
      `${path} has rows of commit ${other.commit}, this is ${commit}; choose another --out.`,
    );
  }
  return latestRows(rows);
}

function hasLine(path: string): boolean {
  try {
    return Deno.readTextFileSync(path).includes("\n");
  } catch {
    // Opening it to write will say why.
    return false;
  }
}
