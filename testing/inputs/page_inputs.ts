/** Makes the inputs that only Quest's stages need: bounds of pages, their scores, lists of pages. */
import { packKv } from "../../fixtures/half.ts";
import { pageBoundsReference } from "../../kernels/encode/page_bounds_reference.ts";
import {
  PAGE_TOKENS,
  pageCapacity,
  pageListCapacity,
  pageListTokens,
  pagesOf,
  pageWindowsOf,
  tokensOfPages,
} from "../../kernels/core/problem/pages.ts";
import { listHeads, tiesOf } from "../../kernels/core/problem/derived.ts";
import type { Problem } from "../../kernels/core/problem/problem.ts";
import { selectScoresReference } from "../../kernels/select/reference.ts";

/**
 * Bounds of all pages of the first `lengths` tokens of keys [B, Hkv, capacity, D], and poison
 * behind them.
 */
export function boundsOfPages(
  p: Problem,
  keys: Float32Array,
  lengths: readonly number[],
): Uint32Array<ArrayBuffer> {
  const { headDim, capacity, kvHeads } = p;
  const row = 2 * headDim;
  const numbers = p.batch * kvHeads * pageCapacity(p) * row;
  // No least element is larger, and no largest one is smaller than these.
  const bounds = Float32Array.from({ length: numbers }, (_, i) => {
    return i % row < headDim ? -Infinity : NaN;
  });
  for (let head = 0; head < p.batch * kvHeads; head++) {
    const length = lengths[Math.floor(head / kvHeads)];
    const rowOfK = (token: number) =>
      keys.subarray((head * capacity + token) * headDim, (head * capacity + token + 1) * headDim);
    for (let page = 0; page < pagesOf(length); page++) {
      const start = page * PAGE_TOKENS;
      const end = Math.min(start + PAGE_TOKENS, length);
      bounds.set(pageBoundsReference(rowOfK, start, end), (head * pageCapacity(p) + page) * row);
    }
  }
  return packKv(bounds, p.dtype);
}

/**
 * Lists of pages by scores; the newest page is the last of its list.
 *
 * @param scores [B, list heads, page capacity].
 */
export function listsOfPages(p: Problem, scores: Float32Array, lengths: readonly number[]) {
  const lists = p.batch * listHeads(p);
  const capacity = pageListCapacity(p);
  const selected = new Uint32Array(lists * capacity).fill(0xffffffff);
  const counts = new Uint32Array(lists);
  const selections: Uint32Array[] = [];
  for (let list = 0; list < lists; list++) {
    const length = lengths[Math.floor(list / listHeads(p))];
    const own = scores.subarray(list * pageCapacity(p), (list + 1) * pageCapacity(p));
    const pages = selectScoresReference(own, pageWindowsOf(p, length), tiesOf(p));
    selected.set(pages, list * capacity);
    counts[list] = pageListTokens(pages.length, length);
    selections.push(tokensOfPages(pages, length));
  }
  return { buffers: { selected_pages: selected, selected_page_tokens: counts }, selections };
}
