/** Where rows of K and V lie: strides, pages, and a prefix that all sequences share. */
import type { KvLayout, KvStrides, Problem } from "./problem.ts";
import { prefixOf } from "./derived.ts";

/**
 * Strides of K and V in a layout without gaps, for the problem's shape and pages.
 *
 * @throws {RangeError} for another layout.
 */
export function kvStridesFor(
  layout: KvLayout,
  p: Pick<Problem, "kvHeads" | "headDim" | "capacity" | "kvPages">,
): KvStrides {
  const { kvHeads, headDim, capacity, kvPages } = p;
  const tokens = kvPages?.tokens ?? capacity;
  const outer = kvHeads * tokens * headDim;
  if (layout === "bhnd") return { outer, head: tokens * headDim, token: headDim };
  if (layout === "bnhd") return { outer, head: headDim, token: kvHeads * headDim };
  throw new RangeError(`layout must be one of bhnd, bnhd, got ${layout}`);
}

/** Strides of K and V. */
export function kvStridesOf(p: Problem): KvStrides {
  return p.kvStrides ?? kvStridesFor("bhnd", p);
}

/** Whether the strides of K and V are those of a layout without gaps. */
function isIn(layout: KvLayout, p: Problem): boolean {
  const { outer, head, token } = kvStridesFor(layout, p);
  const own = kvStridesOf(p);
  return own.outer === outer && own.head === head && own.token === token;
}

/** The layout of K and V; `strided` if it has gaps or another order. */
export function kvLayoutOf(p: Problem): KvLayout | "strided" {
  return (["bhnd", "bnhd"] as const).find((layout) => isIn(layout, p)) ?? "strided";
}

/** Whether K and V are [B, Hkv, capacity, D] without gaps or pages. */
export function hasPlainCache(p: Problem): boolean {
  return !p.kvPages && isIn("bhnd", p);
}

/** Entries of the page table for each sequence; 0 without pages. */
export function tablePages({ kvPages, capacity }: Pick<Problem, "kvPages" | "capacity">): number {
  return kvPages ? Math.ceil(capacity / kvPages.tokens) : 0;
}

/** Pages of the pool; 0 without pages. */
export function poolPages(p: Pick<Problem, "kvPages" | "capacity" | "batch">): number {
  return p.kvPages?.count ?? p.batch * tablePages(p);
}

/** Elements from the first row of a cache to the end of its last one. */
export function kvElements(p: Problem): number {
  const { outer, head, token } = kvStridesOf(p);
  const blocks = p.kvPages ? poolPages(p) : p.batch;
  const tokens = p.kvPages?.tokens ?? p.capacity;
  return (blocks - 1) * outer + (p.kvHeads - 1) * head + (tokens - 1) * token + p.headDim;
}

/**
 * The element at which a token's row of a KV head begins.
 *
 * @param table The page table of the sequence, in a paged cache.
 */
export function kvRowStart(
  p: Problem,
  { sequence, head, token }: {
    readonly sequence: number;
    readonly head: number;
    readonly token: number;
  },
  table?: ArrayLike<number>,
): number {
  const strides = kvStridesOf(p);
  const { kvPages } = p;
  const outer = kvPages && table ? table[Math.floor(token / kvPages.tokens)] : sequence;
  const inner = kvPages ? token % kvPages.tokens : token;
  return outer * strides.outer + head * strides.head + inner * strides.token;
}

/** Rows that the caches hold of each KV head: a shared prefix once, and all else of each sequence. */
export function cacheRows(p: Pick<Problem, "batch" | "capacity" | "prefix">): number {
  return prefixOf(p) + p.batch * (p.capacity - prefixOf(p));
}

/**
 * Where tokens `start` to `end` of a sequence lie in the caches: the rows of KV head `head` (of
 * `heads`), in one run, or in two where the range goes beyond a shared prefix.
 */
export function rowRuns(
  p: Pick<Problem, "capacity" | "prefix">,
  heads: number,
  { sequence, head }: { readonly sequence: number; readonly head: number },
  [start, end]: readonly [number, number],
): { readonly first: number; readonly count: number }[] {
  const prefix = prefixOf(p);
  const shared = Math.max(0, Math.min(end, prefix) - start);
  const own = heads * prefix + (sequence * heads + head) * (p.capacity - prefix) - prefix;
  return [
    { first: head * prefix + start, count: shared },
    { first: own + start + shared, count: end - start - shared },
  ].filter(({ count }) => count > 0);
}
