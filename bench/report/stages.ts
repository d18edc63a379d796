/** The figure of the time of each stage of a step, beside the fastest pipeline. Pure. */
import * as Plot from "@observablehq/plot";
import type { Stage } from "../../kernels/contender.ts";
import { FITTING, type Series } from "../chart/chart.ts";
import type { ResultRow } from "../row.ts";
import { caseName, lineNames } from "./case_names.ts";
import { fastest, type Figure, microsCell, type TimedRow, timedRows } from "./figure.ts";
import { stageSeries } from "./stage_series.ts";

/** The stages of a decode step in their order, and what the figure calls them. */
const STEP: readonly { readonly stage: Stage; readonly name: string }[] = [
  { stage: "encode_query", name: "encode the query" },
  { stage: "encode_append", name: "encode the newest key" },
  { stage: "score", name: "score" },
  { stage: "select", name: "select" },
  { stage: "attend", name: "attend" },
  { stage: "merge", name: "merge" },
];

const WHOLE = "whole step";

/** It does the next stage too, which must not count twice. */
const ATTEND_WITH_MERGE = "attend/gather_merge";

const BAR_HEIGHT = 22;
const CASE_LABEL_HEIGHT = 22;

interface Bar {
  readonly caseName: string;
  readonly bar: string;
  readonly part: string;
  readonly us: number;
  readonly kernel: string;
}

/** The figure, if any case has all stages of a step and a pipeline. */
export function stageFigures(rows: readonly ResultRow[]): Figure[] {
  const lines = lineNames(rows);
  const cases = [...Map.groupBy(timedRows(rows), ({ case_id }) => case_id).values()];
  const bars = cases.flatMap((timed) => barsOf(caseName(timed[0], lines), timed));
  return bars.length > 0 ? [figureOf(bars)] : [];
}

/** The bars of one case: stages one by one, then the whole step; none where a stage is missing. */
function barsOf(caseName: string, timed: readonly TimedRow[]): Bar[] {
  const stages = STEP.map(({ stage, name }) => ({
    name,
    row: fastest(timed.filter((row) => row.stage === stage && row.kernel !== ATTEND_WITH_MERGE)),
  }));
  const step = fastest(timed.filter(({ stage }) => stage === "pipeline"));
  if (!step || stages.some(({ row }) => !row)) return [];
  return [
    ...stages.map(({ name, row }) => ({
      ...{ caseName, bar: "stage by stage", part: name, us: row!.median_us, kernel: row!.kernel },
    })),
    { caseName, bar: "whole step", part: WHOLE, us: step.median_us, kernel: step.kernel },
  ];
}

function figureOf(bars: readonly Bar[]): Figure {
  const legend: Series[] = [...STEP, { stage: "pipeline", name: WHOLE } as const]
    .map(({ stage, name }) => ({ ...stageSeries(stage), label: name, symbol: "square" }));
  const cases = [...new Set(bars.map(({ caseName }) => caseName))];
  return {
    id: "stages",
    caption: "Median time of the fastest kernel of each stage, dispatched by itself, one behind " +
      "the other, and of the fastest pipeline, which is a whole sparse step, of the same case.",
    chart: {
      title: "Time of each stage",
      description:
        `Stacked bars of microseconds for ${cases.length} cases: the stages one by one, ` +
        "and the whole step in its fastest pipeline below; the table holds the numbers.",
      legend,
      options: {
        height: 74 + cases.length * (2 * BAR_HEIGHT + CASE_LABEL_HEIGHT + 10),
        marginLeft: 116,
        marginRight: 24,
        color: { domain: legend.map(({ label }) => label), range: legend.map((s) => s.color) },
        x: { label: "microseconds", grid: true },
        y: {
          ...{ domain: ["stage by stage", "whole step"], label: null, padding: 0.15 },
          ...{ insetTop: CASE_LABEL_HEIGHT, tickSize: 0 },
        },
        fy: { domain: cases, axis: null, padding: 0.06 },
        marks: [
          Plot.barX(bars, {
            ...{
              x: "us",
              y: "bar",
              fy: "caseName",
              fill: "part",
              order: legend.map((s) => s.label),
            },
          }),
          Plot.text(cases, {
            ...{
              fy: (name: string) => name,
              text: (name: string) => name,
              fontWeight: "bold",
              ...FITTING,
            },
            ...{ frameAnchor: "top-left", textAnchor: "start", lineAnchor: "top", dx: -104, dy: 4 },
          }),
        ],
      },
    },
    table: {
      columns: ["case", "part", "kernel", "us"],
      rows: bars.map(({ caseName, part, kernel, us }) => [caseName, part, kernel, microsCell(us)]),
    },
  };
}
