/** The default folder of results. */

/** The default folder of a run that begins at `now`. */
export function resultsFolder(now: Date): string {
  return `results/${now.toISOString().slice(0, 19).replaceAll(":", "-")}Z`;
}
