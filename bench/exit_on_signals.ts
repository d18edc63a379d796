/** What Ctrl-C does to a run. */
import type { Progress } from "./progress.ts";
import type { ResultsWriter } from "./results.ts";

/** Exit code of a run that was stopped, as shells have it for Ctrl-C. */
const STOPPED = 130;

/** Leaves whole files and says where they are when the run is told to stop. */
export function exitOnSignals(results: ResultsWriter, progress: Progress): void {
  const stop = () => {
    progress.clear();
    console.log(`Stopped: ${results.rows} new rows are saved in ${results.csvPath}`);
    Deno.exit(STOPPED);
  };
  Deno.addSignalListener("SIGINT", stop);
  if (Deno.build.os !== "windows") Deno.addSignalListener("SIGTERM", stop);
}
