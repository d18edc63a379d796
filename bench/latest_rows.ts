/** Of several rows of one thing the last counts: a later run into the same folder replaces it. Pure. */
import type { ResultRow } from "./row.ts";

/** The case as measured: caches left hot make another measurement of it. */
export function caseName({ case_id, cache, stage }: ResultRow): string {
  // Probes always run hot, or always cold, whatever the kernels do.
  return cache === "hot" && stage !== "probe" ? `${case_id} (hot)` : case_id;
}

/** The last row of each kernel and case on each device, in the order of the first ones. */
export function latestRows(rows: readonly ResultRow[]): ResultRow[] {
  const nameOf = (row: ResultRow) =>
    JSON.stringify([row.adapter, row.driver, row.backend, caseName(row), row.kernel]);
  return [...new Map(rows.map((row) => [nameOf(row), row])).values()];
}
