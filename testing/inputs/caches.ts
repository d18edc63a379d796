/** Layouts of K and V that kernels must find rows in. */
import { kvStridesFor } from "../../kernels/core/problem/cache_layout.ts";
import { kvBytes } from "../../kernels/core/problem/derived.ts";
import type { KvPages, Problem } from "../../kernels/core/problem/problem.ts";
import type { TestCase } from "../cases/grid.ts";

/** A problem's fields with gaps of a load, of three and of five between rows, heads and sequences. */
function withGaps(p: Problem): Problem {
  const load = 16 / kvBytes(p.dtype);
  const tokens = p.kvPages?.tokens ?? p.capacity;
  const head = p.headDim + load;
  const token = p.kvHeads * head + 3 * load;
  return { ...p, kvStrides: { head, token, outer: tokens * token + 5 * load } };
}

const pages = (p: Problem, kvPages: KvPages): Problem => ({ ...p, kvPages });

/**
 * Layouts by name. In those with pages the pages of all sequences are permuted, the last page of a
 * sequence is in part unused, and what is unused is poison.
 */
export const CACHES: Readonly<Record<string, (p: Problem) => Problem>> = {
  "tokens before heads, with gaps": withGaps,
  "pages of 64 tokens, tokens before heads, with gaps": (p) =>
    withGaps(pages(p, { tokens: 64, count: 3 + p.batch * Math.ceil(p.capacity / 64) })),
  "pages of 16 tokens": (p) => pages(p, { tokens: 16 }),
};

/** The problem of a test in another layout. */
export function inLayout({ p, options }: TestCase, layout: (p: Problem) => Problem): TestCase {
  return { p: layout(p), options };
}

/** [B, N, Hkv, D] without gaps. */
export function tokensFirst(p: Problem): Problem {
  return { ...p, kvStrides: kvStridesFor("bnhd", p) };
}
