/** The figure of the time of each stage of a step, beside the fastest pipeline. */
import * as Plot from "@observablehq/plot";
import type { Stage } from "../../../kernels/core/variant.ts";
import type { Series } from "../../chart/chart.ts";
import { wrapLabel } from "../../chart/wrap.ts";
import { tookTurns } from "../../findings/ratios.ts";
import { caseName as caseOfRow, type ResultRow } from "../../results/row.ts";
import { micros } from "../../tables/text_table.ts";
import { caseName, lineNames } from "../../findings/case_names.ts";
import {
  fastestRow,
  type Figure,
  microsCell,
  SHAPE_WORDS,
  type TimedRow,
  timedRows,
} from "./figure.ts";
import { stageSeries } from "./stage_series.ts";

/** The stages of a decode step in order, with their names in the figure. */
const STEP: readonly { readonly stage: Stage; readonly name: string }[] = [
  { stage: "encode_query", name: "encode the query" },
  { stage: "encode_append", name: "encode the newest key" },
  { stage: "score", name: "score" },
  { stage: "select", name: "select" },
  { stage: "attend", name: "attend" },
  { stage: "merge", name: "merge" },
];

const WHOLE = "whole step";
const DENSE = "dense attention";
/** The bars of a case, from the top. */
const BARS = ["dense", "stage by stage", "whole step"];

/** This kernel also merges; the merge must not count twice. */
const ATTEND_WITH_MERGE = "attend/gather_merge";

const BAR_HEIGHT = 22;
const LABEL_LINE_HEIGHT = 18;
/** Characters of a case's name, in bold, that fit into a line. */
const LABEL_CHARACTERS = 42;

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
  const cases = [...Map.groupBy(timedRows(rows), caseOfRow)];
  const bars = cases.flatMap(([name, timed]) => {
    // If a case was timed both hot and cold, its names must show the cache.
    const both = cases.some(([other]) => other === `${name} (hot)`);
    const cache = both ? ", cold cache" : "";
    return barsOf(`${caseName(timed[0], lines)}${cache}`, timed);
  });
  return bars.length > 0 ? [figureOf(bars)] : [];
}

/**
 * The bars of one case: the dense kernel that was timed in turns with the step, the stages one by
 * one, then the whole step. There are no bars if a stage is missing.
 */
function barsOf(caseName: string, timed: readonly TimedRow[]): Bar[] {
  const stages = STEP.map(({ stage, name }) => ({
    name,
    row: fastestRow(timed.filter((row) => row.stage === stage && row.kernel !== ATTEND_WITH_MERGE)),
  }));
  const step = fastestRow(timed.filter(({ stage }) => stage === "pipeline"));
  if (!step || stages.some(({ row }) => !row)) return [];
  const dense = fastestRow(timed.filter((row) => row.stage === "dense" && tookTurns(row, step)));
  const bar = (bar: string, part: string, row: TimedRow) => (
    { caseName, bar, part, us: row.median_us, kernel: row.kernel }
  );
  return [
    ...(dense ? [bar(BARS[0], DENSE, dense)] : []),
    ...stages.map(({ name, row }) => bar(BARS[1], name, row!)),
    bar(BARS[2], WHOLE, step),
  ];
}

/** The axis is longer than the longest bar of the sparse step by this factor, for its text. */
const TEXT_ROOM = 1.3;

function figureOf(bars: readonly Bar[]): Figure {
  const parts = [
    { stage: "dense", name: DENSE } as const,
    ...STEP,
    { stage: "pipeline", name: WHOLE } as const,
  ];
  const legend = parts.filter(({ name }) => bars.some(({ part }) => part === name))
    .map(({ stage, name }): Series => ({ ...stageSeries(stage), label: name, symbol: "square" }));
  const cases = [...new Set(bars.map(({ caseName }) => caseName))];
  const labels = new Map(cases.map((name) => [name, wrapLabel(name, LABEL_CHARACTERS)]));
  const lines = Math.max(...Array.from(labels.values(), ({ length }) => length));
  const labelHeight = lines * LABEL_LINE_HEIGHT + 4;
  const ends = cases.flatMap((name) => endsOf(bars.filter(({ caseName }) => caseName === name)));
  // Dense attention may take many times as long; the stages must stay visible beside it.
  const limit = TEXT_ROOM * Math.max(...ends.filter(({ bar }) => bar !== BARS[0]).map((e) => e.us));
  const isBeyond = ({ us }: { readonly us: number }) => us > limit;
  return {
    id: "stages",
    caption:
      "Median times of a case: the fastest dense kernel; the fastest kernel of each stage of the " +
      "sparse step, dispatched alone and stacked; and the fastest pipeline, which is a whole " +
      "sparse step. A pipeline fuses stages and saves dispatches. " +
      (ends.some(isBeyond) ? "A bar with an arrow continues beyond the axis. " : "") +
      `Names are ${SHAPE_WORDS}, then the KV length.`,
    chart: {
      title: "Dense attention beside each stage",
      description:
        `Stacked bars of microseconds for ${cases.length} cases: dense attention, the stages ` +
        "one by one, and the whole step in its fastest pipeline; the table holds the numbers.",
      legend,
      options: {
        height: 74 + cases.length * (BARS.length * BAR_HEIGHT + labelHeight + 10),
        marginLeft: 116,
        marginRight: 24,
        color: { domain: legend.map(({ label }) => label), range: legend.map((s) => s.color) },
        x: { label: "microseconds", grid: true, domain: [0, limit] },
        y: { domain: BARS, label: null, padding: 0.15, insetTop: labelHeight, tickSize: 0 },
        fy: { domain: cases, axis: null, padding: 0.06 },
        marks: [
          Plot.barX(bars, {
            x: ({ us }: Bar) => Math.min(us, limit),
            y: "bar",
            fy: "caseName",
            fill: "part",
            order: legend.map(({ label }) => label),
            title: ({ part, kernel, us }: Bar) => `${part}: ${microsCell(us)} us (${kernel})`,
          }),
          Plot.text(ends.filter((end) => !isBeyond(end)), {
            x: "us",
            y: "bar",
            fy: "caseName",
            text: ({ us }: End) => `${micros(us)} us`,
            textAnchor: "start",
            dx: 5,
          }),
          Plot.text(ends.filter(isBeyond), {
            x: limit,
            y: "bar",
            fy: "caseName",
            text: ({ us }: End) => `${micros(us)} us \u2192`,
            textAnchor: "end",
            dx: -5,
            fill: "white",
            fontWeight: "bold",
          }),
          Plot.text(cases, {
            fy: (name: string) => name,
            text: (name: string) => labels.get(name)!.join("\n"),
            fontWeight: "bold",
            frameAnchor: "top-left",
            textAnchor: "start",
            lineAnchor: "bottom",
            lineHeight: LABEL_LINE_HEIGHT / 14,
            dx: -104,
            dy: labelHeight,
          }),
        ],
      },
    },
    table: {
      columns: ["part", "us", "kernel"],
      formats: { us: micros },
      rows: cases.flatMap((name) => [
        [name],
        ...bars.filter((bar) => bar.caseName === name)
          .map(({ part, kernel, us }) => [part, microsCell(us), kernel]),
      ]),
    },
  };
}

/** The end of a bar. */
interface End {
  readonly caseName: string;
  readonly bar: string;
  readonly us: number;
}

/** The ends of the bars of one case. */
function endsOf(bars: readonly Bar[]): End[] {
  return Array.from(Map.groupBy(bars, ({ bar }) => bar), ([bar, parts]) => ({
    caseName: parts[0].caseName,
    bar,
    us: parts.reduce((sum, { us }) => sum + us, 0),
  }));
}
