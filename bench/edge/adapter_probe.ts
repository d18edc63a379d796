/**
 * The child process of `adapters.ts`: prints as JSON the adapter that each kind of request gets on
 * the backend that `DENO_WEBGPU_BACKEND` names.
 * @module
 */
import { NoAdapterError, openAdapter } from "./open_adapter.ts";
import { type AdapterRequest, REQUESTS } from "../measure/device/adapter.ts";
import type { GpuChoice } from "../measure/device/gpu_choice.ts";

if (import.meta.main) {
  const found = [];
  const gpu: GpuChoice = JSON.parse(Deno.args[0]);
  for (const request of Object.keys(REQUESTS) as AdapterRequest[]) {
    try {
      found.push({ request, ...(await openAdapter({ gpu, request })).info });
    } catch (error) {
      if (!(error instanceof NoAdapterError)) throw error;
    }
  }
  console.log(JSON.stringify(found));
  Deno.exit(0);
}
