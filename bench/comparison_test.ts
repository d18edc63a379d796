import { assert, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { compareRows, formatComparison, limitPct } from "./comparison.ts";
import { openResults } from "./results.ts";
import type { ResultRow } from "./row.ts";
import { makeFailedRow, makeRow } from "./testing_row.ts";

const STORED = `${import.meta.dirname}/../fixtures/results/h100-2026-11-24.csv`;

const row = (kernel: string, medianUs: number, changes: Partial<ResultRow> = {}) =>
  makeRow({ kernel, median_us: medianUs, ...changes });

/** Verdicts by kernel, in order. */
const verdicts = (first: readonly ResultRow[], second: readonly ResultRow[]) =>
  compareRows(first, second).pairs.map(({ kernel, verdict }) => [kernel, verdict]);

Deno.test("dense and pipeline medians may move by 2%, others by 3% or 0.3 us", () => {
  assertEquals(limitPct({ stage: "dense", median_us: 1 }), 2);
  assertEquals(limitPct({ stage: "pipeline", median_us: 100 }), 2);
  assertEquals(limitPct({ stage: "select", median_us: 100 }), 3);
  assertEquals(limitPct({ stage: "merge", median_us: 4 }), 7.5);
  assertEquals(limitPct({ stage: "attend", median_us: null }), 3);
  assertEquals(limitPct({ stage: "probe", median_us: 100 }), Infinity);
});

Deno.test("pairs come by the size of their move, up or down, failed ones first", () => {
  const a = [row("a", 100), row("b", 100), row("c", 100), row("d", 100), row("e", 100)];
  const b = [row("e", 102), row("d", 102.1), row("c", 97), makeFailedRow({ kernel: "b" })];
  const failed = makeFailedRow({ kernel: "a" });
  assertEquals(verdicts([failed, ...a.slice(1)], [...b, row("a", 100)]), [
    ["a", "FAILED"],
    ["b", "FAILED"],
    ["c", "MOVED"],
    ["d", "MOVED"],
    ["e", "ok"],
  ]);
  const [{ movePct, medianUs }] = compareRows([row("c", 100)], b).pairs;
  assertEquals([movePct, medianUs], [-3, [100, 97]]);
});

Deno.test("what only one run has is named, and the last of several rows counts", () => {
  const a = [row("x", 90), row("x", 100), row("y", 5), row("z", 5)];
  const b = [row("x", 100), row("z", 5, { case_id: "other" })];
  const comparison = compareRows(a, b);
  assertEquals(comparison.pairs.map(({ kernel, movePct }) => [kernel, movePct]), [["x", 0]]);
  assertEquals(comparison.onlyFirst, [a[2], a[3]].map((row) => `${row.kernel} [${row.case_id}]`));
  assertEquals([comparison.onlySecond, comparison.repeated], [["z [other]"], 1]);
  const text = formatComparison(comparison);
  assertStringIncludes(text, "Only in A (2): y [");
  assertStringIncludes(text, "Only in B (1): z [other].");
  assertStringIncludes(text, "Replaced by a later row of the same kernel and case: 1.");
});

Deno.test("the text says how far each pair moved and sums up", () => {
  const probe = row("probe/chain", 2, { stage: "probe" });
  const lines = formatComparison(compareRows(
    [row("dense/split", 200), row("merge/merge", 4, { stage: "merge" }), probe],
    [row("dense/split", 190), row("merge/merge", 4.1, { stage: "merge" }), {
      ...probe,
      median_us: 4,
    }],
  )).split("\n");
  const cells = lines.slice(2, 5).map((line) => line.trim().split(/ {2,}/).slice(0, -1));
  assertEquals(cells, [
    ["+100.00", "2.00", "4.00", "ok", "probe/chain"],
    ["-5.00", "2.0", "200.0", "190.0", "MOVED", "dense/split"],
    ["+2.50", "7.5", "4.00", "4.10", "ok", "merge/merge"],
  ]);
  assertEquals(lines.at(-1), "3 pairs: 2 ok, 1 MOVED, 0 FAILED.");
});

async function compare(...args: string[]): Promise<{ code: number; out: string; err: string }> {
  const { code, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
    args: ["run", "-A", "--no-check", `${import.meta.dirname}/compare.ts`, ...args],
    env: { NO_COLOR: "1" },
  }).output();
  const decoder = new TextDecoder();
  return { code, out: decoder.decode(stdout), err: decoder.decode(stderr) };
}

Deno.test("the command exits 0 where runs agree, 1 where not, 2 for wrong usage", async () => {
  const folder = await Deno.makeTempDir();
  try {
    const writer = openResults(folder);
    writer.append(row("dense/unheard_of", 100));
    writer.close();
    const moved = `${folder}/moved.csv`;
    const text = await Deno.readTextFile(`${folder}/results.csv`);
    await Deno.writeTextFile(moved, `${text.replace(",100,", ",103,")}cut sho`);
    const [same, other, apart, one, foreign, help] = await Promise.all([
      compare(STORED, STORED),
      compare(folder, moved),
      compare(folder, STORED),
      compare(folder),
      compare(folder, `${import.meta.dirname}/compare.ts`),
      compare("--help"),
    ]);
    assertEquals([same.code, other.code, apart.code, help.code], [0, 1, 2, 0]);
    assert(same.out.trimEnd().endsWith("ok, 0 MOVED, 0 FAILED."));
    assertStringIncludes(other.out, "+3.00");
    assertEquals(other.err, `${moved}: dropped an incomplete last line.\n`);
    assertMatch(apart.err, /^[^\n]+ have no kernel and case in common\.\n$/);
    assertEquals(one, {
      ...{ code: 2, out: "", err: "compare takes two results files or folders, not 1.\n" },
    });
    assertEquals(foreign.code, 2);
    assertMatch(foreign.err, /^[^\n]+compare\.ts has other columns[^\n]+\.\n$/);
    assertStringIncludes(help.out, "deno task compare A B");
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});
