import { assertAlmostEquals, assertEquals, assertMatch } from "@std/assert";
import type { ResultRow } from "../results/row.ts";
import { makeFailedRow, makeRow } from "../../testing/row.ts";
import { compareRuns, slowerRows } from "./comparison.ts";
import type { MetricName } from "./metrics.ts";
import { totalLine, unpairedLines } from "./sentences.ts";
import { DEFAULT_LIMITS } from "./verdict.ts";

const row = (kernel: string, us: number, changes: Partial<ResultRow> = {}) =>
  makeRow({ kernel, median_us: us, ci_low_us: us, ci_high_us: us, case_id: "one", ...changes });

/** Compares the runs with the first of them. */
function compared(runs: readonly (readonly ResultRow[])[], metric: MetricName = "time") {
  const recordings = runs.map((rows, i) => ({ label: "ABC"[i], path: `${i}.csv`, rows }));
  return compareRuns(recordings, metric, DEFAULT_LIMITS);
}

Deno.test("compareRuns() sorts rows by size of change, FAILED rows first", () => {
  const a = ["a", "b", "c", "d", "e"].map((kernel) => row(kernel, 100));
  const b = [
    row("e", 101),
    row("d", 110),
    row("c", 80),
    makeFailedRow({ ...row("b", 1), median_us: null, verified: false }),
    row("a", 102),
  ];
  const { rows } = compared([a, b]);
  assertEquals(rows.map(({ kernel, others }) => [kernel, others[0]?.verdict]), [
    ["b", "FAILED"],
    ["c", "FASTER"],
    ["d", "SLOWER"],
    ["a", "SAME"],
    ["e", "SAME"],
  ]);
  assertEquals(
    totalLine(compared([a, b])),
    "5 pairs: 2 SAME, 1 FASTER, 1 SLOWER, 0 UNSURE, 1 FAILED.",
  );
});

Deno.test("compareRuns() gives null for a run that lacks a row", () => {
  const { rows, unpaired, stages } = compared([
    [row("x", 100), row("y", 100)],
    [row("x", 100)],
    [row("x", 120), row("y", 90)],
  ]);
  assertEquals(
    rows.map(({ kernel, others }) => [kernel, ...others.map((other) => other?.verdict ?? null)]),
    [["x", "SAME", "SLOWER"], ["y", null, "FASTER"]],
  );
  assertEquals(unpaired.map(({ inFile, notInFile, rows }) => [inFile, notInFile, rows]), [
    ["A", "B", 1],
  ]);
  assertEquals(stages.map(([{ pairs, verdicts }]) => [pairs, verdicts.SAME]), [[1, 1], [2, 0]]);
  assertAlmostEquals(stages[1][0].meanRatio!, Math.sqrt(1.2 * 0.9), 1e-12);
});

Deno.test("unpairedLines() sums up unpaired rows by case and by kernel", () => {
  const both = [row("x", 100), row("x", 100, { case_id: "two" })];
  const other = ["p", "q", "r"].map((kernel) => row(kernel, 1, { case_id: "three" }));
  const extra = ["one", "two"].map((case_id) => row("s", 1, { case_id }));
  const comparison = compared([[row("x", 50), ...both, ...other, ...extra], [
    ...both,
    row("x", 5, { cache: "hot" }),
    row("t", 5),
  ]]);
  assertEquals(comparison.rows.map(({ others }) => others[0]?.verdict), ["SAME", "SAME"]);
  assertEquals(unpairedLines(comparison), [
    "In A, not in B: 5 rows. 1 whole case: three (3 rows); 1 kernel of shared cases: s (2 cases).",
    "In B, not in A: 2 rows. 1 whole case: one (hot) (1 row); 1 kernel of shared cases: t.",
    "Replaced in A by a later row of the same kernel and case: 1 row.",
  ]);
});

Deno.test("compareRuns() pairs probes of hot and cold runs, and counts few samples", () => {
  const probe = { stage: "probe", samples: 5 } as const;
  const { rows, fewSamples, otherParams } = compared([
    [row("p", 1, { ...probe, cache: "hot" }), row("x", 1)],
    [row("p", 1, { ...probe, cache: "cold" }), row("x", 1, { params: "{}" })],
  ]);
  assertEquals([rows.length, fewSamples, otherParams], [2, 1, 1]);
});

Deno.test("compareRuns() counts pairs of cold steps over different numbers of inputs", () => {
  const layers = (sets: number, cache: "hot" | "cold") => row("x", 1, { sets, cache });
  const otherSets = (a: ResultRow, b: ResultRow) => compared([[a], [b]]).otherSets;
  assertEquals(otherSets(layers(4, "cold"), layers(32, "cold")), 1);
  assertEquals(otherSets(layers(4, "cold"), layers(8, "cold")), 0);
  assertEquals(otherSets(layers(1, "hot"), layers(3, "hot")), 0);
});

Deno.test("compareRuns() compares different cards by shares of their own rooflines", () => {
  const { cardsDiffer, stages } = compared([[row("x", 10, { roofline_pct: 50 })], [
    row("x", 100, { roofline_pct: 75, adapter: "Small GPU" }),
  ]]);
  assertEquals(cardsDiffer, true);
  assertAlmostEquals(stages[0][0].meanRatio!, 10, 1e-12);
  assertAlmostEquals(stages[0][0].meanRooflineRatio!, 1.5, 1e-12);
  assertEquals(compared([[row("x", 1)], [row("x", 1)]]).cardsDiffer, false);
  const [wgpu, dawn] = ["NVIDIA H200", "nvidia-h200"].map((adapter) => [row("x", 1, { adapter })]);
  assertEquals(compared([wgpu, dawn]).cardsDiffer, false);
});

Deno.test("slowerRows() finds rows beyond the limit or PCT and new failures, no probes", () => {
  const kernels = ["a", "b", "c", "d", "p"];
  const changes = (kernel: string) => kernel === "p" ? { stage: "probe" as const } : {};
  const failed = (kernel: string) => makeFailedRow({ kernel, case_id: "one" });
  const base = [...kernels.map((kernel) => row(kernel, 100, changes(kernel))), failed("f")];
  const next = [
    ...[row("a", 101), row("b", 104), row("c", 90), failed("d"), row("p", 200, changes("p"))],
    failed("f"),
  ];
  const slower = (pct: number | null, metric: MetricName = "time") =>
    slowerRows(compared([base, next], metric), pct).map(({ kernel }) => kernel).sort().join("");
  assertEquals(slower(null), "bd");
  assertEquals(slower(0.5), "abd");
  assertEquals(slower(3.8), "bd");
  assertEquals(slower(3.95), "d");
  // GB/s, of which more is better, is the same in all rows here.
  assertEquals(slower(null, "gbytes"), "d");
  const bytesless = [row("q", 100, { gbytes_per_s: null })];
  assertEquals(slowerRows(compared([bytesless, [failed("q")]], "gbytes"), null).length, 1);
  assertMatch(totalLine(compared([base, next])), /^6 pairs: .*2 FAILED\.$/);
});
