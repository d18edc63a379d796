import { assert, assertEquals } from "@std/assert";
import { LARGE_LIMITS } from "../device_limits.ts";
import {
  PAGE_TOKENS,
  pageCapacity,
  pageListCapacity,
  pageListTokens,
  pagesOf,
  pageWindowsOf,
  tokensOfPages,
} from "./pages.ts";
import { windowsOf } from "./derived.ts";
import { RIVALS } from "../registry.ts";
import { createRandom } from "../../../fixtures/random.ts";
import { testCase } from "../../../testing/cases/grid.ts";

const NONE = { sink: 0, recent: 0, topK: { count: 64 } };

Deno.test("pageWindowsOf() never ranks the newest page, whole or not", () => {
  for (const length of [1, 15, 16, 17, 31, 32, 33, 4096, 4097]) {
    const { recentStart, attended } = pageWindowsOf(NONE, length);
    assertEquals(recentStart, pagesOf(length) - 1, `length ${length}`);
    assertEquals(attended, 1 + Math.min(4, pagesOf(length) - 1), `length ${length}`);
  }
});

Deno.test("pageWindowsOf() has a budget of whole pages, beside the newest one", () => {
  const picks = (count: number) => pageWindowsOf({ ...NONE, topK: { count } }, 4096).kEff;
  assertEquals([0, 15, 16, 31, 32, 0xffffffff].map(picks), [0, 0, 1, 1, 2, 255]);
  assertEquals(pageWindowsOf({ ...NONE, topK: { sparsity: 32 } }, 4096).kEff, 8);
});

Deno.test("pageWindowsOf() takes every page with a token of a window, each page once", () => {
  const p = { sink: 17, recent: 18, topK: { count: 0 } };
  // 100 tokens: the sink is in pages 0 and 1, the last 18 tokens begin in page 5.
  assertEquals(pageWindowsOf(p, 100), { sinkEnd: 2, recentStart: 5, kEff: 0, attended: 4 });
  assertEquals(pageWindowsOf(p, 30), { sinkEnd: 2, recentStart: 2, kEff: 0, attended: 2 });
});

Deno.test("property: lists of pages hold the windows and the budget at any length", () => {
  const random = createRandom(1, 3);
  for (let i = 0; i < 300; i++) {
    const [sink, recent, count, length] = [60, 60, 90, 400].map((n) => random.uint32() % n);
    const lengths = [length + 1];
    const { p } = testCase({ windows: [sink, recent], topK: { count }, lengths, capacity: 416 });
    const own = pageWindowsOf(p, length + 1);
    const pages = Array.from({ length: pagesOf(length + 1) }, (_, page) => page)
      .filter((page) => page < own.sinkEnd + own.kEff || page >= own.recentStart);
    assertEquals(pages.length, own.attended);
    assert(own.attended <= pageListCapacity(p) && pageListCapacity(p) <= pageCapacity(p));
    const tokens = tokensOfPages(pages, length + 1);
    assertEquals(tokens.length, pageListTokens(pages.length, length + 1));
    const { sinkEnd, recentStart } = windowsOf(p, length + 1);
    assert(Array.from({ length: sinkEnd }, (_, token) => token).every((t) => tokens.includes(t)));
    assert(
      tokens.subarray(-(length + 1 - recentStart || 1)).every((t, j, all) =>
        t === length + 1 - all.length + j
      ),
    );
    assert(own.kEff <= count / PAGE_TOKENS);
  }
});

Deno.test("variants of pages refuse a list that a group shares", () => {
  const { p } = testCase({ heads: [8, 2], sharing: "group", lengths: [100] });
  const variants = RIVALS.filter(({ name }) => /\/quest|score\/pages|_pages$/.test(name));
  assertEquals(variants.length, 6);
  for (const variant of variants) {
    const why = variant.refuses(p, variant.defaults(p, LARGE_LIMITS), LARGE_LIMITS);
    assert(
      why?.endsWith("it ranks pages for each query head, and here a group shares a list"),
      `${variant.name}: ${why}`,
    );
  }
});
