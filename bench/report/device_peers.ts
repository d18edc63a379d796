/** Assigns files of peers to adapters: such a file does not name the device that it measured. */
import type { PeerTime } from "../findings/peers.ts";
import { readPeers } from "../edge/files/read_files.ts";
import { cardOf } from "../results/card.ts";
import { UsageError } from "../base/usage_error.ts";

/**
 * Reads times of peers, by the adapter that they were measured on.
 *
 * @param words `FILE` if all results are of one adapter, or `ADAPTER=FILE` with a part of the
 * adapter's name.
 * @param adapters The adapters of the results.
 * @throws {UsageError} in one sentence, for a word that does not name adapters of exactly one card,
 * or a file that cannot be read.
 */
export function readDevicePeers(
  words: readonly string[],
  adapters: readonly string[],
): Map<string, PeerTime[]> {
  const times = new Map<string, PeerTime[]>();
  for (const word of words) {
    const [matches, path] = pairOf(word, adapters);
    const found = readPeers([path]);
    for (const adapter of matches) times.set(adapter, [...times.get(adapter) ?? [], ...found]);
  }
  return times;
}

/** The adapters that a word names, which are of one card, and the path of its file. */
function pairOf(word: string, adapters: readonly string[]): [adapters: string[], path: string] {
  const [, part, path] = /^([^=]*)=(.*)$/.exec(word) ?? [null, "", word];
  const matches = adapters.filter((name) => cardOf(name).includes(cardOf(part)));
  if (new Set(matches.map(cardOf)).size === 1) return [matches, path];
  throw new UsageError(
    `--peers ${word} must name one adapter of the results, as ADAPTER=FILE with a part of its ` +
      `name: ${adapters.join("; ") || "there are no results"}.`,
  );
}
