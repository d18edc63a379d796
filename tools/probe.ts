/**
 * Prints the adapter that a run would use and exits 0. If there is none, it prints the searched
 * backend to stderr and exits with the code of a failed system.
 * @module
 */
import { EXIT } from "../bench/edge/exit_codes.ts";
import { NoAdapterError, openAdapter } from "../bench/edge/open_adapter.ts";
import { describeAdapter } from "../bench/measure/device/adapter.ts";

try {
  console.log(describeAdapter((await openAdapter()).info));
} catch (error) {
  if (!(error instanceof NoAdapterError)) throw error;
  console.error(`No WebGPU adapter was found on the ${error.backend} backend.`);
  Deno.exit(EXIT.system);
}
