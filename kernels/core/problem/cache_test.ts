/** Layouts of K and V: where rows lie, and which variants take them. */
import { assert, assertEquals } from "@std/assert";
import { createPageTable, placeCache } from "../../../fixtures/cache_layout.ts";
import { NO_TOKEN } from "../../../fixtures/token_pool.ts";
import { CACHES, tokensFirst } from "../../../testing/inputs/caches.ts";
import { LARGE_LIMITS } from "../device_limits.ts";
import { problemParams } from "./constants.ts";
import { piecesOf } from "../pieces.ts";
import {
  hasPlainCache,
  kvElements,
  kvLayoutOf,
  kvRowStart,
  kvStridesFor,
  poolPages,
  tablePages,
} from "./cache_layout.ts";
import type { Problem } from "./problem.ts";
import { refusesCodes } from "../define.ts";
import { EVERY_VARIANT, VARIANTS } from "../registry.ts";

const P: Problem = {
  batch: 2,
  qHeads: 6,
  kvHeads: 3,
  headDim: 64,
  kvLen: 40,
  lengths: [33, 40],
  capacity: 48,
  dtype: "f16",
  bits: 32,
  sharing: "head",
  map: { layers: 1, hidden: 128, dtype: "f16" },
  topK: { sparsity: 4 },
  sink: 1,
  recent: 1,
};

Deno.test("kvRowStart() follows the strides and the page table", () => {
  const at = { sequence: 1, head: 2, token: 17 };
  assertEquals(kvRowStart(P, at), ((1 * 3 + 2) * 48 + 17) * 64);
  assertEquals(kvRowStart(tokensFirst(P), at), ((1 * 48 + 17) * 3 + 2) * 64);
  const paged: Problem = { ...P, kvPages: { tokens: 16 } };
  assertEquals(kvRowStart(paged, at, [9, 5, 7]), ((5 * 3 + 2) * 16 + 1) * 64);
  const pagedTokensFirst = { ...paged, kvStrides: kvStridesFor("bnhd", paged) };
  assertEquals(kvRowStart(pagedTokensFirst, at, [9, 5, 7]), ((5 * 16 + 1) * 3 + 2) * 64);
});

Deno.test("kvLayoutOf() and hasPlainCache() know layouts without gaps", () => {
  assertEquals([kvLayoutOf(P), hasPlainCache(P)], ["bhnd", true]);
  const same = { ...P, kvStrides: kvStridesFor("bhnd", P) };
  assertEquals([kvLayoutOf(same), hasPlainCache(same)], ["bhnd", true]);
  assertEquals([kvLayoutOf(tokensFirst(P)), hasPlainCache(tokensFirst(P))], ["bnhd", false]);
  const gaps = CACHES["tokens before heads, with gaps"](P);
  assertEquals([kvLayoutOf(gaps), hasPlainCache(gaps)], ["strided", false]);
  const paged: Problem = { ...P, kvPages: { tokens: 16 } };
  assertEquals([kvLayoutOf(paged), hasPlainCache(paged)], ["bhnd", false]);
  assertEquals([tablePages(paged), poolPages(paged), tablePages(P), poolPages(P)], [3, 6, 0, 0]);
  assertEquals(poolPages({ ...paged, kvPages: { tokens: 32, count: 11 } }), 11);
});

Deno.test("kvElements() ends with the last row, whatever the layout", () => {
  const all = 2 * 3 * 48 * 64;
  assertEquals([kvElements(P), kvElements(tokensFirst(P))], [all, all]);
  assertEquals(kvElements({ ...P, kvPages: { tokens: 16 } }), all);
  // A sequence has a page and a half, so the pool has two pages for each.
  assertEquals(kvElements({ ...P, kvPages: { tokens: 32 } }), 2 * 2 * 32 * 3 * 64);
  const strides = { outer: 100_000, head: 128, token: 1000 };
  assertEquals(kvElements({ ...P, kvStrides: strides }), 100_000 + 256 + 47_000 + 64);
});

Deno.test("problemParams() counts strides in 16-byte loads, and has zeros for the usual cache", () => {
  const strides = (p: Problem) => {
    const { OUTER_STRIDE, HEAD_STRIDE, TOKEN_STRIDE, TABLE_BITS } = problemParams(p);
    return [OUTER_STRIDE, HEAD_STRIDE, TOKEN_STRIDE, TABLE_BITS];
  };
  assertEquals(strides(P), [0, 0, 0, 0]);
  assertEquals(strides(tokensFirst(P)), [3 * 48 * 8, 8, 24, 0]);
  const wide = { ...P, dtype: "f32" } as const;
  assertEquals(strides(tokensFirst(wide)), [3 * 48 * 16, 16, 48, 0]);
  assertEquals(strides({ ...P, kvPages: { tokens: 256 } }), [3 * 256 * 8, 256 * 8, 8, 8]);
});

Deno.test("createPageTable() gives every page of a sequence a place of its own", () => {
  const paged: Problem = { ...P, kvPages: { tokens: 16, count: 8 } };
  const table = createPageTable(paged, { lengths: [33, 16], seed: 3 });
  const used = [...table.subarray(0, 3), table[3]];
  assertEquals(new Set(used).size, 4);
  assert(used.every((page) => page < 8));
  assertEquals(table[5], NO_TOKEN);
  assert(!used.includes(table[4]) && table[4] < 8, "a page that nobody has");
  const cache = Float32Array.from({ length: 2 * 3 * 48 * 64 }, (_, i) => i);
  const placed = placeCache(paged, cache, [33, 16], table);
  const start = kvRowStart(paged, { sequence: 0, head: 2, token: 32 }, table);
  assertEquals(placed[start + 5], (2 * 48 + 32) * 64 + 5);
  assertEquals(placed.filter((x) => !Number.isNaN(x)).length, (33 + 16) * 3 * 64);
});

/** Variants for each of which caches lie in one way alone. */
const ONE_LAYOUT = ["prefill/flash", "prefill/flash_matrix", "dense/token_pool"];

Deno.test("variants of HashAttention and dense attention take all layouts, other systems none", () => {
  const rotated: Problem = {
    ...P,
    bits: 128,
    sharing: "kv",
    map: { layers: 0, hidden: 64, dtype: "f32" },
  };
  for (const layout of Object.values(CACHES)) {
    for (const variant of EVERY_VARIANT) {
      const p = refusesCodes(variant, P) ? rotated : P;
      const params = variant.defaults(p, LARGE_LIMITS);
      const reads = variant.plan(p, params).dispatches.some(({ kernel }) =>
        kernel.bindings.some(({ name }) => /(^|_)(keys|values)$/.test(name))
      );
      if (variant.refuses(p, params, LARGE_LIMITS) || !reads) continue;
      const why = variant.refuses(layout(p), params, LARGE_LIMITS);
      if (why) assertEquals(why, "it takes K and V without strides or pages");
      const takes = VARIANTS.includes(variant) && !ONE_LAYOUT.includes(variant.name);
      if (VARIANTS.includes(variant)) assertEquals(why === undefined, takes, variant.name);
    }
  }
});

Deno.test("piecesOf() divides the usual cache alone", () => {
  const small = { maxStorageBufferBindingSize: 3 * 48 * 64 * 2 };
  assertEquals(piecesOf(P, small)?.count, 2);
  for (const layout of Object.values(CACHES)) assertEquals(piecesOf(layout(P), small), undefined);
});
