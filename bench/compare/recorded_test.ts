/** Verdicts on the samples of real runs, unchanged and with a slowdown planted in some rows. */
import { assert, assertEquals, assertGreaterOrEqual } from "@std/assert";
import { compareRuns, type Comparison, slowerRows } from "./comparison.ts";
import { type RecordedRow, recordedRows, rowOf } from "./testing_samples.ts";
import { DEFAULT_LIMITS, type Verdict } from "./verdict.ts";

/** The samples of a row in the base and in the other run. */
type Samples = readonly [readonly number[], readonly number[]];

/** One card at two times: the samples of the first run before its middle and after it. */
const halves = ({ runs: [us] }: RecordedRow): Samples => {
  const middle = Math.floor(us.length / 2);
  return [us.slice(0, middle), us.slice(middle)];
};
/** Two processes on two cards of one kind. */
const runs = ({ runs: [first, second] }: RecordedRow): Samples => [first, second!];

const ALL = recordedRows();
const IN_BOTH = ALL.filter(({ runs }) => runs[1] !== undefined);

function compared(
  rows: readonly RecordedRow[],
  split: (row: RecordedRow) => Samples,
  slowdown: (row: RecordedRow) => number = () => 1,
): Comparison {
  const pairs = rows.map((row) => {
    const [base, other] = split(row);
    return [rowOf(row, base), rowOf(row, other.map((us) => us * slowdown(row)))];
  });
  const recordings = ["A", "B"].map((label, i) => ({
    label,
    path: label,
    rows: pairs.map((pair) => pair[i]),
  }));
  return compareRuns(recordings, "time", DEFAULT_LIMITS);
}

/** Kernels and lengths of the rows with a verdict, in the order of the comparison. */
function named({ rows }: Comparison, ...verdicts: Verdict[]): string[] {
  return rows.filter(({ others }) => verdicts.includes(others[0]!.verdict))
    .map(({ kernel, caseId }) => `${kernel} ${caseId.replace(/-b\d.*/, "")}`);
}

Deno.test("compareRuns() finds 99% of the rows SAME on one card, and none FASTER or SLOWER", () => {
  const comparison = compared(ALL, halves);
  assertEquals(comparison.rows.length, 414);
  assertGreaterOrEqual(named(comparison, "SAME").length, 0.99 * 414);
  assertEquals(named(comparison, "FASTER", "SLOWER"), []);
});

Deno.test("compareRuns() finds all but gathers and one short stage SAME on two cards", () => {
  // The second run held fewer buffers. The placement of pages changes gathers of many sets of keys.
  const comparison = compared(IN_BOTH, runs);
  assertEquals(comparison.rows.length, 208);
  assertEquals(named(comparison, "FASTER"), [
    "attend/gather 32x32x128-n32768",
    "encode/append 32x8x128-n131072",
    "pipeline/sparse_four 32x32x128-n32768",
    "pipeline/sparse_two 32x32x128-n32768",
    "attend/gather 32x8x128-n131072",
  ]);
  assertEquals(named(comparison, "UNSURE"), ["attend/gather 32x32x128-n131072"]);
  assertEquals(named(comparison, "SAME").length, 202);
});

Deno.test("slowerRows() finds a kernel that became 5% slower in every case, and no other", () => {
  for (const planted of ["dense/split_subgroup", "pipeline/sparse_three"]) {
    const slower = ({ kernel }: RecordedRow) => kernel === planted ? 1.05 : 1;
    const comparison = compared(IN_BOTH, runs, slower);
    const cases = IN_BOTH.filter(({ kernel }) => kernel === planted).length;
    assert(cases > 0, planted);
    assertEquals(
      slowerRows(comparison, null).map(({ kernel }) => kernel),
      Array(cases).fill(planted),
    );
    assertEquals(slowerRows(comparison, 4).length > 0, true);
    assertEquals(slowerRows(comparison, 6), []);
  }
});

Deno.test("compareRuns() finds 5% SLOWER in all dense and pipeline rows, and SAME in none", () => {
  const { rows } = compared(ALL, halves, () => 1.05);
  const kernels = rows.filter(({ stage }) => stage !== "probe");
  const verdicts = (stage: RegExp) =>
    new Set(kernels.filter((row) => stage.test(row.stage)).map(({ others }) => others[0]!.verdict));
  assertEquals([...verdicts(/dense|pipeline|prefill/)], ["SLOWER"]);
  assertEquals(verdicts(/./), new Set<Verdict>(["SLOWER", "UNSURE"]));
  const found = kernels.filter(({ others }) => others[0]!.verdict === "SLOWER").length;
  assertGreaterOrEqual(found / kernels.length, 0.88);
});
