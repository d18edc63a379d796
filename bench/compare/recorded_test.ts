/** The verdicts on samples of real runs: what is the same, and a slowdown put into some of them. */
import { assert, assertEquals, assertGreaterOrEqual } from "@std/assert";
import { compareRuns, type Comparison, slowerRows } from "./comparison.ts";
import { type RecordedRow, recordedRows, rowOf } from "./testing_samples.ts";
import { DEFAULT_LIMITS, type Verdict } from "./verdict.ts";

/** What the base measured of a row, and the other run. */
type Samples = readonly [readonly number[], readonly number[]];

/** One card, two stretches of time: what the first run sampled before its middle and after. */
const halves = ({ runs: [us] }: RecordedRow): Samples => {
  const middle = Math.floor(us.length / 2);
  return [us.slice(0, middle), us.slice(middle)];
};
/** Two processes, on two cards of one kind. */
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

Deno.test("on one card at least 99% of the rows are SAME, and none FASTER or SLOWER", () => {
  const comparison = compared(ALL, halves);
  assertEquals(comparison.rows.length, 414);
  assertGreaterOrEqual(named(comparison, "SAME").length, 0.99 * 414);
  assertEquals(named(comparison, "FASTER", "SLOWER"), []);
});

Deno.test("on two cards of a kind what is not SAME gathers, but for one short stage", () => {
  // The second run held fewer buffers: where pages fall moves gathers of many sets of keys.
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

Deno.test("a kernel that is 5% slower in the second run is found in every case, and nothing else", () => {
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

Deno.test("5% on every row is SLOWER in all dense and pipeline rows, SAME in no kernel's", () => {
  const { rows } = compared(ALL, halves, () => 1.05);
  const kernels = rows.filter(({ stage }) => stage !== "probe");
  const verdicts = (stage: RegExp) =>
    new Set(kernels.filter((row) => stage.test(row.stage)).map(({ others }) => others[0]!.verdict));
  assertEquals([...verdicts(/dense|pipeline|prefill/)], ["SLOWER"]);
  assertEquals(verdicts(/./), new Set<Verdict>(["SLOWER", "UNSURE"]));
  const found = kernels.filter(({ others }) => others[0]!.verdict === "SLOWER").length;
  assertGreaterOrEqual(found / kernels.length, 0.88);
});
