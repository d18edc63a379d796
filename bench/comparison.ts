/** Two runs side by side: what moved, and whether by more than repeated runs may. Pure. */
import type { ResultRow } from "./row.ts";
import { alignColumns, micros, rule } from "./text_table.ts";

/** What became of a kernel and case between two runs. */
export type PairVerdict = "ok" | "MOVED" | "FAILED";

/** One kernel on one case in both runs. */
export interface Pair {
  readonly kernel: string;
  readonly caseId: string;
  /** Microseconds per step in the first run and in the second; null where the check failed. */
  readonly medianUs: readonly [number | null, number | null];
  /** The second median's distance from the first, in percent of it; null without both. */
  readonly movePct: number | null;
  /** Farthest that the median may move, in percent of the first; Infinity for probes. */
  readonly limitPct: number;
  readonly verdict: PairVerdict;
}

/** What two runs have in common and what not. */
export interface Comparison {
  /** Failed ones first, then by the size of their move. */
  readonly pairs: readonly Pair[];
  /** `kernel [case id]` of the rows that only one run has. */
  readonly onlyFirst: readonly string[];
  readonly onlySecond: readonly string[];
  /** Rows that a later row of the same run, kernel and case replaced. */
  readonly repeated: number;
}

/** Farthest that the median of a repeated run may move, in percent of the first. */
export function limitPct({ stage, median_us: us }: Pick<ResultRow, "stage" | "median_us">): number {
  if (stage === "probe") return Infinity;
  if (stage === "dense" || stage === "pipeline") return 2;
  // A short stage is a few ticks of the clock and the dispatch itself: 0.3 us are noise.
  return us ? Math.max(3, 0.3 / us * 100) : 3;
}

/** Pairs the rows of two runs by kernel and case; of several in a run the last counts. */
export function compareRows(
  first: readonly ResultRow[],
  second: readonly ResultRow[],
): Comparison {
  const byName = (rows: readonly ResultRow[]) => new Map(rows.map((row) => [nameOf(row), row]));
  const [a, b] = [byName(first), byName(second)];
  const pairs = [...a].flatMap(([name, row]) => {
    const other = b.get(name);
    return other ? [pairOf(row, other)] : [];
  });
  const size = ({ movePct }: Pair) => movePct === null ? Infinity : Math.abs(movePct);
  return {
    pairs: pairs.sort((one, two) => size(two) === size(one) ? 0 : size(two) - size(one)),
    onlyFirst: [...a.keys()].filter((name) => !b.has(name)),
    onlySecond: [...b.keys()].filter((name) => !a.has(name)),
    repeated: first.length + second.length - a.size - b.size,
  };
}

function nameOf({ kernel, case_id }: ResultRow): string {
  return `${kernel} [${case_id}]`;
}

function pairOf(first: ResultRow, second: ResultRow): Pair {
  const medianUs = [first, second].map(({ verified, median_us }) => verified ? median_us : null);
  const [from, to] = medianUs;
  const movePct = from !== null && to !== null ? (to - from) / from * 100 : null;
  const limit = limitPct(first);
  return {
    ...{ kernel: first.kernel, caseId: first.case_id },
    medianUs: [from, to],
    movePct,
    limitPct: limit,
    verdict: movePct === null ? "FAILED" : Math.abs(movePct) > limit ? "MOVED" : "ok",
  };
}

const COLUMNS = [
  { heading: "move %" },
  { heading: "limit %" },
  { heading: "A us" },
  { heading: "B us" },
  { heading: "verdict", words: true },
  { heading: "kernel", words: true },
  { heading: "case", words: true },
];

/** A line for each pair, then what is in one run only, and a last line that sums up. */
export function formatComparison({ pairs, onlyFirst, onlySecond, repeated }: Comparison): string {
  const lines = alignColumns(
    COLUMNS,
    pairs.map((pair) => [
      pair.movePct === null ? "" : `${pair.movePct < 0 ? "" : "+"}${pair.movePct.toFixed(2)}`,
      Number.isFinite(pair.limitPct) ? pair.limitPct.toFixed(1) : "",
      ...pair.medianUs.map(micros),
      ...[pair.verdict, pair.kernel, pair.caseId],
    ]),
  );
  const count = (verdict: PairVerdict) => pairs.filter((pair) => pair.verdict === verdict).length;
  const only = (names: readonly string[], where: string) =>
    names.length ? [`Only in ${where} (${names.length}): ${names.join(", ")}.`] : [];
  return [
    ...[lines[0], rule(lines), ...lines.slice(1), ""],
    ...only(onlyFirst, "A"),
    ...only(onlySecond, "B"),
    ...(repeated ? [`Replaced by a later row of the same kernel and case: ${repeated}.`] : []),
    `${pairs.length} pairs: ${count("ok")} ok, ${count("MOVED")} MOVED, ${count("FAILED")} FAILED.`,
  ].join("\n");
}
