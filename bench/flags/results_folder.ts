/** Where results go unless a flag says otherwise. */

/** The folder of a run that begins now. */
export function resultsFolder(now: Date): string {
  return `results/${now.toISOString().slice(0, 19).replaceAll(":", "-")}Z`;
}
