import { assertEquals } from "@std/assert";
import { makeRow } from "../../testing/row.ts";
import type { ResultRow } from "../results/row.ts";
import { breakEvens } from "./break_even.ts";

const TAIL = "f16-c128kw2t-rotation-s160-w128+128";

/** The rows of a case: a cascade and a sparse step that took turns. */
function requests(batch: number, dense: number, sparse: number, changes: Partial<ResultRow> = {}) {
  const row = {
    case_id: `32x8x128-n33280-b${batch}-t512-${TAIL}`,
    batch,
    kv_len: 33280,
    k: 208,
    prefix: 32768,
    ...changes,
  };
  return [
    makeRow({ ...row, kernel: "dense/cascade", median_us: dense, speedup_vs_dense: 1 }),
    makeRow({
      ...row,
      kernel: "pipeline/shared_four",
      stage: "pipeline",
      median_us: sparse,
      speedup_vs_dense: dense / sparse,
    }),
  ];
}

Deno.test("breakEvens() says from how many requests on the cascade is faster", () => {
  assertEquals(
    breakEvens([...requests(32, 90, 100), ...requests(1, 60, 20), ...requests(8, 70, 40)]),
    [
      "Over a shared prefix of 32,768 tokens (32x8x128, k = N/160) dense attention takes 3.00, 1.75 " +
      "and 0.90 times as long as the sparse step at 1, 8 and 32 requests; it is faster from 32 on, " +
      "and by bytes alone it would be from 40 on",
    ],
  );
});

Deno.test("breakEvens() takes a tie for no win, and a win before a loss for none", () => {
  const [text] = breakEvens([...requests(1, 10, 20), ...requests(8, 100, 100)]);
  assertEquals(/it is [^,]+/.exec(text)?.[0], "it is not faster at the last of them");
});

Deno.test("breakEvens() keeps prefixes and settings apart, and leaves out what is not compared", () => {
  const other = { prefix: 131072, kv_len: 131584, k: 822 };
  const one = (batch: number) => requests(batch, 3, 2);
  assertEquals(breakEvens([...one(1), ...requests(8, 3, 2, other)]), []);
  const [dense, step] = one(8);
  assertEquals(breakEvens([...one(1), dense, { ...step, verified: false }]), []);
  assertEquals(breakEvens([1, 8].flatMap((b) => requests(b, 3, 2, { software: true }))), []);
  assertEquals(breakEvens([1, 8].flatMap((b) => requests(b, 3, 2, { prefix: 0 }))), []);
  assertEquals(breakEvens([...one(1), ...one(8)]).length, 1);
});
