/** What Ctrl-C does to a command. */

/** Exit code of a command that was stopped, as shells have it for Ctrl-C. */
const STOPPED = 130;

/** Has the command end when it is told to stop, after `stop` left whole files and said so. */
export function exitOnSignals(stop: () => void): void {
  const exit = () => {
    stop();
    Deno.exit(STOPPED);
  };
  Deno.addSignalListener("SIGINT", exit);
  if (Deno.build.os !== "windows") Deno.addSignalListener("SIGTERM", exit);
}
