import { assert, assertEquals } from "@std/assert";
import fc from "fast-check";
import { popcount } from "../../core/bits.ts";
import {
  bits_from,
  first_bits,
  mask_tie_picks,
  picks_of_ties,
  share_of,
  window_mask,
  window_tokens,
} from "./common.ts";

Deno.test("bits_from() and first_bits() give the right masks", () => {
  for (const count of [0, 1, 5, 31, 32, 33, 0xffffffff]) {
    for (let bit = 0; bit < 32; bit++) {
      assertEquals((bits_from(count) >>> bit) & 1, Number(bit >= count));
    }
  }
  for (const mask of [0, 1, 0x80000000, 0xffffffff, 0x0f0f0f0f, 0x80000001]) {
    for (const count of [0, 1, 2, 15, 31, 32, 0xffffffff]) {
      const bits = Array.from({ length: 32 }, (_, bit) => bit)
        .filter((bit) => (mask >>> bit) & 1).slice(0, count);
      assertEquals(first_bits(mask, count), bits.reduce((kept, bit) => kept | 1 << bit, 0) >>> 0);
      assertEquals(popcount(first_bits(mask, count)), bits.length);
    }
  }
});

Deno.test("picks_of_ties() and mask_tie_picks() take ties before the bound, or from it on", () => {
  const masks = [0, 1, 0x80000000, 0xffffffff, 0x0f0f0f0f, 0x80000001];
  for (const TIES of [0, 1]) {
    for (const tie_bound of [0, 1, 17, 32, 33, 80, 1000]) {
      const isPick = (tie: number) => tie < tie_bound === (TIES === 0);
      for (const before of [0, 1, 16, 17, 18, 40, 999, 1000, 1001]) {
        const picks = Array.from({ length: before }, (_, tie) => tie).filter(isPick);
        assertEquals(picks_of_ties({ TIES }, before, tie_bound), picks.length);
        for (const mask of masks) {
          const bits = Array.from({ length: 32 }, (_, bit) => bit)
            .filter((bit) => (mask >>> bit) & 1)
            .filter((_, i) => isPick(before + i));
          const expected = bits.reduce((kept, bit) => kept | 1 << bit, 0) >>> 0;
          assertEquals(mask_tie_picks({ TIES }, mask, before, tie_bound), expected);
        }
      }
    }
  }
});

Deno.test("window_tokens() and window_mask() agree on the tokens in the windows", () => {
  const place = fc.nat(200);
  fc.assert(fc.property(place, place, place, place, (a, b, c, d) => {
    const [sinkEnd, recentStart, length] = [a, a + b, a + b + c];
    const windows = { sinkEnd, recentStart, kEff: 0, attended: 0 };
    const isIn = (token: number) => token < sinkEnd || token >= recentStart;
    const first = Math.min(d, length);
    const after = Math.min(first + 50, length);
    let count = 0;
    for (let token = first; token < after; token++) count += Number(isIn(token));
    assertEquals(window_tokens(first, after, windows), count);
    for (let bit = 0; bit < 32; bit++) {
      assertEquals((window_mask(d, windows) >>> bit) & 1, Number(isIn(d + bit)));
    }
  }));
});

Deno.test("share_of() gives shares that hold every place once", () => {
  for (const attended of [0, 1, 5, 12, 13, 1000]) {
    for (const SPLITS of [1, 3, 7, 13]) {
      let next = 0;
      for (let split = 0; split < SPLITS; split++) {
        const { begin, end } = share_of({ SPLITS }, split, attended);
        assertEquals(begin, next);
        assert(end - begin <= Math.ceil(attended / SPLITS));
        next = end;
      }
      assertEquals(next, attended);
    }
  }
});
