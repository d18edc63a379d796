/** Ends a command in order when it receives Ctrl-C. */
import { EXIT } from "./exit_codes.ts";

/** Ends the command on SIGINT or SIGTERM, after `stop` has completed its files and printed so. */
export function exitOnSignals(stop: () => void): void {
  const exit = () => {
    try {
      stop();
    } finally {
      // The command ends even if `stop` cannot write its files.
      Deno.exit(EXIT.stopped);
    }
  };
  Deno.addSignalListener("SIGINT", exit);
  if (Deno.build.os !== "windows") Deno.addSignalListener("SIGTERM", exit);
}
