/** The cases of the quick profile. */
import { isRotated } from "../../kernels/core/problem/derived.ts";
import type { CaseOptions } from "../cases/case_options.ts";
import { QUICK_KV_LENS } from "../cases/quick.ts";
import { RANDOM_MAP } from "./selection_flags.ts";

/**
 * Options with the lengths and the map of the quick profile.
 *
 * @param mapGiven Whether the user chose the map.
 */
export function quickOptions<Options extends CaseOptions>(
  options: Options,
  mapGiven: boolean,
): Options {
  // A CPU takes seconds per step to encode a prompt with a map of three layers.
  const map = !mapGiven && !isRotated(options) ? RANDOM_MAP : options.map;
  return { ...options, kvLens: QUICK_KV_LENS, map };
}
