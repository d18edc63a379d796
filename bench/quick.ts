/** What the quick profile times, on a GPU and on a CPU in its place. Pure. */
import type { BenchOptions } from "./options.ts";

/** Its KV lengths on a GPU: around the length from which sparse attention pays. */
export const QUICK_KV_LENS: readonly number[] = [1024, 4096, 16384];

/** Its KV lengths on a software adapter: all that two cores can do in two minutes. */
const SOFTWARE_KV_LENS: readonly number[] = [8192];

/** The options as the adapter wants them: the quick profile is shorter on a software adapter. */
export function onAdapter(options: BenchOptions, software: boolean): BenchOptions {
  return options.quick && software ? { ...options, kvLens: SOFTWARE_KV_LENS } : options;
}
