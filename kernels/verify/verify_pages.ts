/** Verifies the stages of Quest: bounds of pages, their scores, and lists of pages. */
import { pageBoundsReference } from "../encode/page_bounds_reference.ts";
import {
  PAGE_TOKENS,
  pageListTokens,
  pagesOf,
  pageWindowsOf,
  tokensOfPages,
} from "../core/problem/pages.ts";
import { tiesOf } from "../core/problem/derived.ts";
import { dotReference, pagesReference } from "../score/reference.ts";
import { selectScoresReference } from "../select/reference.ts";
import type { BufferReader } from "./buffer_reader.ts";
import type { ListRef } from "./list_ref.ts";
import type { ErrorTally, ListVerifier } from "./error_tally.ts";
import { isRounded, verifyAttended } from "./verify_rivals.ts";
import { encodedTokens } from "./verified_tokens.ts";

/** Verifies the bounds of some of a list's pages, in ascending order; the last one is the newest. */
async function verifyBounds(
  tally: ErrorTally,
  reader: BufferReader,
  ref: ListRef,
  pages: readonly number[],
): Promise<void> {
  const { sequence, kvHead, length } = ref;
  const [start, last] = [pages[0], pages[pages.length - 1]];
  const [keys, bounds] = await Promise.all([
    reader.cacheRows("keys", ref, start * PAGE_TOKENS, length),
    reader.pageBounds(ref, start, last + 1),
  ]);
  for (const page of pages) {
    const first = page * PAGE_TOKENS;
    const want = pageBoundsReference(keys, first, Math.min(first + PAGE_TOKENS, length));
    const got = bounds(page);
    // A NaN equals any NaN, and -0 equals +0.
    const at = want.findIndex((each, i) => each !== got[i] && !Object.is(each, got[i]));
    if (at < 0) continue;
    return tally.fail("page_bounds", [sequence, kvHead, page, at], got[at], want[at]);
  }
}

/** Verifies the bounds of the newest page. */
export const verifyPageAppend: ListVerifier = (tally, reader, ref) =>
  verifyBounds(tally, reader, ref, [pagesOf(ref.length) - 1]);

/** Verifies the bounds of a prompt's pages. */
export const verifyPagePrompt: ListVerifier = (tally, reader, ref, _hasBuffer, scope) =>
  verifyBounds(tally, reader, ref, encodedTokens(pagesOf(ref.length), ref, scope));

/** Verifies the scores of a list's pages up to rounding, given their bounds. */
export const verifyPageScores: ListVerifier = async (tally, reader, ref) => {
  const ranked = pagesOf(ref.length) - 1;
  const [q, bounds, got] = await Promise.all([
    reader.headRow("q", ref.queryRows[0]),
    reader.pageBounds(ref, 0, ranked),
    reader.pageScores(ref, ranked),
  ]);
  const want = pagesReference(q, bounds, ranked);
  for (let page = 0; page < ranked; page++) {
    if (isRounded(got[page], want, page)) continue;
    const index = [ref.sequence, ref.head, page];
    return tally.fail("page_scores", index, got[page], want.scores[page]);
  }
};

/** The pages of a list by the scores that the variant made. */
async function pagesOfScores(reader: BufferReader, ref: ListRef): Promise<Uint32Array> {
  const scores = await reader.pageScores(ref, pagesOf(ref.length));
  return selectScoresReference(scores, pageWindowsOf(reader.p, ref.length), tiesOf(reader.p));
}

/** Verifies which pages a list has, and where the newest one is. */
export const verifyPageSelect: ListVerifier = async (tally, reader, ref) => {
  const { sequence, head, length } = ref;
  const want = await pagesOfScores(reader, ref);
  const [selected, tokens] = await Promise.all([
    reader.selectedPages(ref, want.length),
    reader.selectedPageTokens(ref),
  ]);
  const index = [sequence, head];
  tally.exact("selected_page_tokens", index, [tokens], [pageListTokens(want.length, length)]);
  tally.exact("selected_pages, the last", index, selected.slice(-1), want.slice(-1));
  tally.exact("selected_pages, sorted", index, selected.sort(), want);
};

/** The tokens of a list of pages. */
export async function pageListOf(reader: BufferReader, ref: ListRef): Promise<Uint32Array> {
  const tokens = await reader.selectedPageTokens(ref);
  const pages = await reader.selectedPages(ref, pagesOf(tokens));
  return tokensOfPages(pages, Infinity).subarray(0, tokens);
}

/**
 * Verifies a whole step: the bounds of the newest page; the scores, which no key of their page
 * exceeds; and the output from the pages that these very scores select.
 */
export const verifyPageStep: ListVerifier = async (tally, reader, ref, hasBuffer, scope) => {
  await verifyPageAppend(tally, reader, ref, hasBuffer, scope);
  await verifyPageScores(tally, reader, ref, hasBuffer, scope);
  await verifyPageMaxima(tally, reader, ref);
  const pages = await pagesOfScores(reader, ref);
  await verifyAttended(tally, reader, ref, tokensOfPages(pages, ref.length), scope);
};

/** Verifies that no key has a larger dot product with a query than the score of its page. */
async function verifyPageMaxima(
  tally: ErrorTally,
  reader: BufferReader,
  ref: ListRef,
): Promise<void> {
  const ranked = pagesOf(ref.length) - 1;
  const [q, keys, got] = await Promise.all([
    reader.headRow("q", ref.queryRows[0]),
    reader.cacheRows("keys", ref, 0, ref.length),
    reader.pageScores(ref, ranked),
  ]);
  const exact = dotReference(q, keys, ranked * PAGE_TOKENS);
  exact.scores.forEach((score, token) => {
    const page = Math.floor(token / PAGE_TOKENS);
    if (!(score > got[page]) || isRounded(got[page], exact, token)) return;
    tally.fail("page_scores, below a key's", [ref.sequence, ref.head, page], got[page], score);
  });
}
