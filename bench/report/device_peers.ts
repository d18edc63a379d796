/** Whose times are whose: a file of peers does not say on which device it was measured. */
import type { PeerTime } from "../findings/peers.ts";
import { readPeers } from "../edge/files/read_files.ts";
import { UsageError } from "../base/usage_error.ts";

/**
 * Times of peers by the adapter that they were measured on.
 *
 * @param words `FILE`, where all results are of one adapter, or `ADAPTER=FILE` with a part of the
 * adapter's name.
 * @param adapters Of the results.
 * @throws {UsageError} one sentence on a word that leaves open or wrong which adapter is meant, or
 * on a file that cannot be read.
 */
export function readDevicePeers(
  words: readonly string[],
  adapters: readonly string[],
): Map<string, PeerTime[]> {
  const times = new Map<string, PeerTime[]>();
  for (const word of words) {
    const [adapter, path] = pairOf(word, adapters);
    times.set(adapter, [...times.get(adapter) ?? [], ...readPeers([path])]);
  }
  return times;
}

function pairOf(word: string, adapters: readonly string[]): [adapter: string, path: string] {
  const [, part, path] = /^([^=]*)=(.*)$/.exec(word) ?? [null, "", word];
  const meant = adapters.filter((name) => name.toLowerCase().includes(part.toLowerCase()));
  if (meant.length === 1) return [meant[0], path];
  throw new UsageError(
    `--peers ${word} must name one adapter of the results, as ADAPTER=FILE with a part of its ` +
      `name: ${adapters.join("; ") || "there are no results"}.`,
  );
}
