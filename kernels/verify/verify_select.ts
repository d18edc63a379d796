/** Verifies distances, histograms and selections, which must be exact. */
import type { BufferReader } from "./buffer_reader.ts";
import type { ListRef } from "./list_ref.ts";
import type { ListVerifier } from "./error_tally.ts";
import {
  binsOf,
  codeWords,
  isRotated,
  maxDistance,
  planesOf,
  tiesOf,
  windowsOf,
} from "../core/problem/derived.ts";
import { binnedScoreReference, histogramReference, scoreReference } from "../score/reference.ts";
import { selectReference, selectScoresReference } from "../select/reference.ts";

/** The distances of all tokens of a list by the codes of its query heads. */
export async function referenceDistances(
  reader: BufferReader,
  ref: ListRef,
  queryCodes: Uint32Array,
): Promise<Uint32Array> {
  const { p } = reader;
  const codes = await reader.codes(ref, 0, ref.length);
  if (!isRotated(p)) return scoreReference(queryCodes, codes, codeWords(p), planesOf(p));
  const factors = await reader.factors(ref, 0, ref.length);
  return binnedScoreReference(queryCodes, codes, factors, planesOf(p), binsOf(p));
}

/** Verifies the distances of a list and, if the variant makes them, its histograms. */
export const verifyScore: ListVerifier = async (tally, reader, ref, hasBuffer) => {
  const { p, params } = reader;
  const { sequence, head, length } = ref;
  const [queryCodes, distances] = await Promise.all([
    reader.queryCodes(ref),
    reader.distances(ref),
  ]);
  const want = await referenceDistances(reader, ref, queryCodes);
  tally.exact("distances", [sequence, head], distances, want);
  if (!hasBuffer("block_histograms")) return;
  const bins = maxDistance(p) + 1;
  const counts = histogramReference(want, params.BLOCK, windowsOf(p, length), bins);
  const got = await reader.blockHistograms(ref);
  for (let block = 0; block * bins < counts.length; block++) {
    const range = [block * bins, (block + 1) * bins] as const;
    const index = [sequence, head, block];
    tally.exact("block_histograms", index, got.subarray(...range), counts.subarray(...range));
  }
};

/** Verifies which tokens a list has; a variant may put them in any order. */
export const verifySelect: ListVerifier = async (tally, reader, ref, hasBuffer) => {
  const { p } = reader;
  const { sequence, head, length } = ref;
  const windows = windowsOf(p, length);
  const want = hasBuffer("scores")
    ? selectScoresReference(await reader.scores(ref), windows, tiesOf(p))
    : selectReference(await reader.distances(ref), windows, tiesOf(p));
  const [selected, count] = await Promise.all([
    reader.selected(ref, want.length),
    reader.selectedCount(ref),
  ]);
  tally.exact("selected_counts", [sequence, head], [count], [want.length]);
  tally.exact("selected, sorted", [sequence, head], selected.sort(), want);
};
