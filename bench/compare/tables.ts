/** The comparison as tables of headings and cells, for text and for Markdown. */
import { micros, type TextColumn } from "../tables/text_table.ts";
import type { ComparedRow, Comparison } from "./comparison.ts";
import { type MetricName, METRICS } from "./metrics.ts";
import type { Estimate } from "./ratio.ts";
import type { StageSummary } from "./summary.ts";
import { type PairVerdict, VERDICTS, verdictWord } from "./verdict.ts";

/** A table in no particular format. */
export interface Table {
  readonly columns: readonly TextColumn[];
  readonly cells: readonly (readonly string[])[];
}

/** The last column of {@linkcode rowTable}, and the widest. */
export const CASE_HEADING = "case";

/**
 * A line for each kernel and case: the ratio, interval and verdict of each other run. Rows without
 * a value of the metric in any run are left out; the counts include them.
 */
export function rowTable({ files, rows, metric }: Comparison): Table {
  const { unit } = METRICS[metric];
  const [base, ...others] = files;
  // With one other run there is room for its limit and its metric.
  const single = others.length === 1;
  return {
    columns: [
      ...others.flatMap(({ label }) =>
        single ? headings(base.label, label) : headings(base.label, label).slice(0, 3)
      ),
      { heading: `${base.label} ${unit}`, importance: 1 },
      ...(single ? [{ heading: `${others[0].label} ${unit}`, importance: 1 }] : []),
      { heading: "kernel", words: true },
      { heading: CASE_HEADING, words: true },
    ],
    cells: rows.filter(({ others }) =>
      others.some((other) => other && other.verdict !== "NO VALUE")
    )
      .map((row) => cellsOf(row, single, metric)),
  };
}

function headings(base: string, other: string): TextColumn[] {
  return [
    { heading: `${other}/${base}` },
    { heading: "95% interval", importance: 2 },
    { heading: "verdict", words: true },
    { heading: "limit %", importance: 0 },
  ];
}

function cellsOf(
  { base, others, kernel, caseId }: ComparedRow,
  single: boolean,
  metric: MetricName,
): string[] {
  const pairCells = (other: PairVerdict | null) => [
    factor(other?.ratio?.value ?? null),
    interval(other?.ratio ?? null),
    other ? verdictWord(other.verdict, metric) : "",
  ];
  return [
    ...others.flatMap(pairCells),
    ...(single ? [others[0]?.limitPct?.toFixed(1) ?? ""] : []),
    micros(base?.value ?? null),
    ...(single ? [micros(others[0]?.estimate?.value ?? null)] : []),
    kernel,
    caseId,
  ];
}

/** A line for each stage of one other run: geometric mean and counts. */
export function stageTable(
  { files, metric, cardsDiffer }: Comparison,
  stages: readonly StageSummary[],
  other: number,
): Table {
  const ratio = `${files[other + 1].label}/${files[0].label}`;
  // If the metric itself is the share of the roofline, one column suffices.
  const roofline = cardsDiffer && metric !== "roofline";
  const used = VERDICTS.filter((name) => stages.some(({ verdicts }) => verdicts[name] > 0));
  return {
    columns: [
      { heading: "stage", words: true },
      { heading: "pairs" },
      { heading: `${ratio} ${metric}, geometric mean` },
      ...(roofline ? [{ heading: `${ratio} of its own roofline` }] : []),
      ...used.map((name) => ({ heading: verdictWord(name, metric) })),
    ],
    cells: stages.map(({ stage, pairs, meanRatio, meanRooflineRatio, verdicts }) => [
      stage,
      String(pairs),
      factor(meanRatio),
      ...(roofline ? [factor(meanRooflineRatio)] : []),
      ...used.map((name) => String(verdicts[name])),
    ]),
  };
}

/** A ratio to three decimals; empty for null. */
export function factor(value: number | null): string {
  if (value === null) return "";
  return value < 100 ? value.toFixed(3) : value.toFixed(0);
}

function interval(ratio: Estimate | null): string {
  if (ratio === null) return "";
  return ratio.high === Infinity ? "none" : `${factor(ratio.low)} to ${factor(ratio.high)}`;
}
