/**
 * Prints the adapter that a run would use and exits 0, or says on stderr why there is none and
 * exits with the code of a failed system.
 * @module
 */
import { EXIT } from "../bench/exit_codes.ts";
import { describeAdapter, NoAdapterError, openAdapter } from "../bench/host.ts";

try {
  console.log(describeAdapter((await openAdapter()).info));
} catch (error) {
  if (!(error instanceof NoAdapterError)) throw error;
  console.error(`No WebGPU adapter was found on the ${error.backend} backend.`);
  Deno.exit(EXIT.system);
}
