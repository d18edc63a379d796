/**
 * Pages of tokens, as Quest (arXiv 2406.10774) ranks them, and lists of pages. Page i holds the
 * tokens from 16 i on. The newest page, whole or not, is always attended and never ranked.
 *
 * Windows are rounded out to pages: a page with a token of a window belongs to the window. So no
 * token is in a list twice.
 */
import type { Problem } from "./problem.ts";
import { roundCapacity, type Windows } from "./derived.ts";

/** Tokens of a page. */
export const PAGE_TOKENS = 16;

/** Pages of a sequence of `length` tokens; the newest may have fewer tokens than the others. */
export function pagesOf(length: number): number {
  return Math.ceil(length / PAGE_TOKENS);
}

/** Pages that a sequence's cache has room for, rounded so that rows of scores are aligned. */
export function pageCapacity(p: Pick<Problem, "capacity">): number {
  return roundCapacity(p.capacity / PAGE_TOKENS);
}

/** The pages of a budget of k tokens: floor(k / 16). */
function budgetOf({ topK }: Pick<Problem, "topK">, length: number): number {
  const k = "count" in topK ? topK.count : Math.floor(length / topK.sparsity);
  return Math.floor(k / PAGE_TOKENS);
}

/**
 * The windows of a sequence of `length` tokens and its budget, all counted in pages. The recent
 * window has the newest page at least.
 */
export function pageWindowsOf(
  p: Pick<Problem, "sink" | "recent" | "topK">,
  length: number,
): Windows {
  const pages = pagesOf(length);
  const sinkEnd = pagesOf(Math.min(p.sink, length));
  const recent = Math.min(Math.max(p.recent, 1), length);
  const recentStart = Math.max(sinkEnd, Math.floor((length - recent) / PAGE_TOKENS));
  const kEff = Math.min(budgetOf(p, length), recentStart - sinkEnd);
  return { sinkEnd, recentStart, kEff, attended: sinkEnd + kEff + pages - recentStart };
}

/** Tokens of a list that has `pages` pages of a sequence of `length` tokens, with the newest one. */
export function pageListTokens(pages: number, length: number): number {
  return PAGE_TOKENS * (pages - pagesOf(length)) + length;
}

/** Largest number of pages in a list, at any length up to capacity. */
export function pageListCapacity(p: Problem): number {
  const sink = pagesOf(Math.min(p.sink, p.capacity));
  // A recent window that begins within a page has a part of one page more.
  const recent = pagesOf(Math.min(p.recent, p.capacity)) + 1;
  return Math.min(pagesOf(p.capacity), sink + recent + budgetOf(p, p.capacity));
}

/** The tokens of pages in their order, without those past the end of the sequence. */
export function tokensOfPages(
  pages: ArrayLike<number>,
  length: number,
): Uint32Array<ArrayBuffer> {
  const tokens = Array.from(pages).flatMap((page) =>
    Array.from({ length: PAGE_TOKENS }, (_, i) => page * PAGE_TOKENS + i)
  );
  return Uint32Array.from(tokens.filter((token) => token < length));
}

/** The reason that a problem's lists cannot be of pages; undefined if they can. */
export function refusesPages(p: Pick<Problem, "sharing">): string | undefined {
  if (p.sharing === "group") {
    return "it ranks pages for each query head, and here a group shares a list";
  }
}
