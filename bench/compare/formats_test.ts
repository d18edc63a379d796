import { assert, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import type { ResultRow } from "../results/row.ts";
import { makeFailedRow, makeRow } from "../../testing/row.ts";
import { compareRuns } from "./comparison.ts";
import {
  type ComparisonReport,
  type FormatName,
  FORMATS,
  PAIR_COLUMNS,
  type PairRecord,
} from "./formats.ts";
import { DEFAULT_LIMITS } from "./verdict.ts";

const row = (kernel: string, us: number, changes: Partial<ResultRow> = {}) =>
  makeRow({
    kernel,
    case_id: "one",
    median_us: us,
    ci_low_us: us * 0.99,
    ci_high_us: us * 1.01,
    ...changes,
  });
const failed = makeFailedRow({ kernel: "f", case_id: "one" });

const A = [row("dense/x", 100), row("merge/y", 4, { stage: "merge" }), row("f", 1), row("z", 7)];
const B = [row("dense/x", 110), row("merge/y", 4, { stage: "merge" }), failed];
const C = [row("dense/x", 50, { adapter: "Small GPU", roofline_pct: 80 })];

function written(format: FormatName | "text", ...runs: readonly (readonly ResultRow[])[]): string {
  const recordings = runs.map((rows, i) => ({ label: "ABC"[i], path: `${i}.csv`, rows }));
  return FORMATS[format](compareRuns(recordings, "time", DEFAULT_LIMITS));
}

Deno.test("FORMATS.text() lists files, stages and pairs, and explains the verdicts", () => {
  const lines = written("text", A, B).split("\n");
  assertEquals(
    lines[0],
    "A  0.csv: Some GPU, NVIDIA 580.1, vulkan, deno 2.9.6, commit 0123456789ab, " +
      "2026-07-03T12:34:56.789Z, 4 rows",
  );
  const cells = (line: string) => line.trim().split(/ {2,}/);
  assertEquals(lines[3], "3 pairs: 1 SAME, 0 FASTER, 1 SLOWER, 0 UNSURE, 1 FAILED.");
  assertEquals(lines.slice(12, 15).map(cells), [
    ["FAILED", "1.00", "f", "one"],
    ["1.100", "1.085 to 1.116", "SLOWER", "2.1", "100.0", "110.0", "dense/x", "one"],
    ["1.000", "0.986 to 1.014", "SAME", "4.5", "4.00", "4.00", "merge/y", "one"],
  ]);
  assertEquals(lines.slice(7, 9).map(cells), [
    ["dense", "2", "1.100", "0", "1", "1"],
    ["merge", "1", "1.000", "1", "0", "0"],
  ]);
  const text = lines.join("\n");
  assertMatch(
    text,
    /\nSAME: the ratio's 95% interval lies within the limit, 2% plus .+ 0\.1 us .+\n/,
  );
  assertMatch(
    text,
    /come from the samples of each run \(0 to 48 per row\) and do not include drift/,
  );
  assertEquals(lines.at(-1), "In A, not in B: 1 row. 1 kernel of shared cases: z.");
});

Deno.test("FORMATS.text() puts a case below its line if the line has no room", () => {
  const recordings = [A, B].map((rows, i) => ({
    label: "AB"[i],
    path: `${i}.csv`,
    rows: rows.map((each) => ({ ...each, case_id: "c".repeat(60) })),
  }));
  const comparison = compareRuns(recordings, "time", DEFAULT_LIMITS);
  assertMatch(FORMATS.text(comparison), /dense\/x +c{60}\n/);
  assertMatch(FORMATS.text(comparison, 80), /\n1\.100 +1\.085 .* dense\/x\n {4}c{60}\n/);
  const narrow = FORMATS.text(comparison, 50);
  assertMatch(narrow, /\n {4}c{46}\n {4}c{14}\n/);
  assertMatch(
    narrow,
    /\nNot shown for want of room: limit %, A us;\n--markdown has all columns\.\n/,
  );
});

Deno.test("FORMATS.text() puts runs side by side, different cards by their own rooflines", () => {
  const text = written("text", A, B, C);
  assertMatch(
    text,
    /\n +B\/A +95% interval +verdict +C\/A +95% interval +verdict +A us +kernel +case\n/,
  );
  assertMatch(text, /\n1\.100 .+ SLOWER +0\.500 .+ FASTER +100\.0 +dense\/x +one\n/);
  assertMatch(
    text,
    /\nstage +pairs +C\/A time, geometric mean +C\/A of its own roofline +FASTER\n/,
  );
  assertMatch(text, /\nThe cards differ: --metric roofline /);
  const recordings = [A, C].map((rows, i) => ({ label: "AB"[i], path: `${i}.csv`, rows }));
  const shares = FORMATS.text(compareRuns(recordings, "roofline", DEFAULT_LIMITS));
  assertMatch(shares, /\d NEARER, \d FARTHER, /);
  assert(!shares.includes("FASTER"));
});

Deno.test("FORMATS.text() only counts rows without a value of the metric", () => {
  const none = row("probe/none", 2, { stage: "probe", gbytes_per_s: null });
  const recordings = ["A", "B"].map((label) => ({ label, path: label, rows: [none, A[0]] }));
  const text = FORMATS.text(compareRuns(recordings, "gbytes", DEFAULT_LIMITS));
  assert(!text.includes("probe/none"));
  assertMatch(text, /\nprobe +1 +0 +1\n/);
  assertStringIncludes(text, "\n2 pairs: 1 SAME, 0 FASTER, 0 SLOWER, 0 UNSURE, 1 NO VALUE.\n");
});

Deno.test("FORMATS.markdown() has the same tables as the text", () => {
  const text = written("markdown", A, B);
  assertStringIncludes(
    text,
    "\n| B/A | 95% interval | verdict | limit % | A us | B us | kernel | case |\n",
  );
  assertStringIncludes(text, "\n| --: | --: | :-- | --: | --: | --: | :-- | :-- |\n");
  assertStringIncludes(
    text,
    "\n| 1.100 | 1.085 to 1.116 | SLOWER | 2.1 | 100.0 | 110.0 | dense/x | one |\n",
  );
});

Deno.test("FORMATS.json() has a record for each pair, with full numbers", () => {
  const report: ComparisonReport = JSON.parse(written("json", A, B, C));
  const numbers = (
    { kernel, case_id, stage, file, base, value, ratio, verdict }: PairRecord,
  ) => [kernel, case_id, stage, file, base, value, ratio, verdict];
  assertEquals(report.rows.map(numbers), [
    ["f", "one", "dense", "B", 1, null, null, "FAILED"],
    ["dense/x", "one", "dense", "B", 100, 110, 1.1, "SLOWER"],
    ["dense/x", "one", "dense", "C", 100, 50, 0.5, "FASTER"],
    ["merge/y", "one", "merge", "B", 4, 4, 1, "SAME"],
  ]);
  assertEquals(Object.keys(report.rows[0]), [...PAIR_COLUMNS]);
  assertEquals([report.metric, report.limits, report.cardsDiffer], ["time", DEFAULT_LIMITS, true]);
  assertEquals(report.stages[1], {
    file: "C",
    stages: [{
      stage: "dense",
      pairs: 1,
      meanRatio: 0.5,
      meanRooflineRatio: 1.18677,
      verdicts: { SAME: 0, FASTER: 1, SLOWER: 0, UNSURE: 0, FAILED: 0, "NO VALUE": 0 },
    }],
  });
});
