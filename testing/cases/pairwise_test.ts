import { assert, assertEquals } from "@std/assert";
import { dealOut, pairwise } from "./pairwise.ts";

/** Pairs of values that share no row. */
function uncovered(sizes: readonly number[], rows: readonly number[][]): string[] {
  const missing: string[] = [];
  for (let f = 0; f < sizes.length; f++) {
    for (let g = f + 1; g < sizes.length; g++) {
      for (let a = 0; a < sizes[f]; a++) {
        for (let b = 0; b < sizes[g]; b++) {
          if (!rows.some((row) => row[f] === a && row[g] === b)) missing.push(`${f}${a} ${g}${b}`);
        }
      }
    }
  }
  return missing;
}

Deno.test("pairwise() covers every pair of values in far fewer rows than the product", () => {
  const sizes = [5, 4, 3, 3, 2, 8];
  const rows = pairwise(sizes);
  assertEquals(uncovered(sizes, rows), []);
  assert(rows.length >= 40 && rows.length < 60, `${rows.length} rows`);
});

Deno.test("pairwise() begins every row with one of the starts and still covers every pair", () => {
  const starts = pairwise([5, 4, 3]);
  const sizes = [5, 4, 3, 8, 4];
  const rows = pairwise(sizes, starts);
  assertEquals(uncovered(sizes, rows), []);
  const known = new Set(starts.map((start) => start.join()));
  assert(rows.every((row) => known.has(row.slice(0, 3).join())));
});

Deno.test("dealOut() gives each part about as many rows of every value", () => {
  const sizes = [5, 4, 3];
  const rows = pairwise(sizes);
  for (const parts of [1, 2, 3]) {
    const dealt = dealOut(rows, parts);
    assertEquals(dealt.length, rows.length);
    sizes.forEach((size, f) => {
      for (let value = 0; value < size; value++) {
        const counts = Array.from(
          { length: parts },
          (_, part) => rows.filter((row, i) => dealt[i] === part && row[f] === value).length,
        );
        const spread = Math.max(...counts) - Math.min(...counts);
        assert(Math.min(...counts) > 0 && spread <= 2, `value ${value} of ${f}: ${counts}`);
      }
    });
  }
});
