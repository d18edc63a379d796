/** Rows of an earlier run, for a run that continues in its folder. */
import { readResults } from "./read_files.ts";
import { latestRows, type ResultRow } from "../../results/row.ts";
import { UsageError } from "../../base/usage_error.ts";

/**
 * The latest rows in `results.csv` of the folder `dir`; none if the file is missing or its run was
 * killed before the first row.
 *
 * @throws {UsageError} in one sentence, if the file cannot be read or has rows of a commit other
 * than `commit`, which would be mistaken for rows of the same measurement.
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
    // Opening the file for writing reports the reason.
    return false;
  }
}
