/** What Ctrl-C does to a command. */
import { EXIT } from "./exit_codes.ts";

/** Has the command end when it is told to stop, after `stop` left whole files and said so. */
export function exitOnSignals(stop: () => void): void {
  const exit = () => {
    try {
      stop();
    } finally {
      // Whatever cannot be written any more, a command that is told to stop stops.
      Deno.exit(EXIT.stopped);
    }
  };
  Deno.addSignalListener("SIGINT", exit);
  if (Deno.build.os !== "windows") Deno.addSignalListener("SIGTERM", exit);
}
