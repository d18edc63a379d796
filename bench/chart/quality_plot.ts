/** The charts of a quality run: the error and the attention mass at each budget. */
import * as Plot from "@observablehq/plot";
import { type Chart, chartFile, seriesOf, seriesScales } from "./chart.ts";
import type { QualityRow } from "../results/quality_rows.ts";
import { stackFiles } from "./stack_files.ts";

/** The measures that are plotted if any row has a value of them. */
const MEASURES = [
  { field: "output_rel_err", title: "Output error against dense attention" },
  { field: "mass_middle", title: "Attention mass caught, of the middle" },
] as const;

/** One chart of a measure, with the rows that it shows. */
export interface QualityChart extends Chart {
  readonly trace: string;
  readonly field: (typeof MEASURES)[number]["field"];
  readonly rows: readonly QualityRow[];
}

/** The charts over all heads: one of error and one of mass for each trace and settings. */
export function qualityCharts(rows: readonly QualityRow[]): QualityChart[] {
  const legend = seriesOf([...new Set(rows.map(({ method }) => method))]);
  const all = rows.filter(({ head }) => head === "all");
  const runs = Map.groupBy(
    all,
    ({ trace, sink, recent, seed, budget, query_set }) =>
      JSON.stringify([trace, sink, recent, seed, budget, query_set]),
  );
  return [...runs.values()].flatMap((rows) =>
    MEASURES.filter(({ field }) => rows.some((row) => row[field] !== null))
      .map((measure): QualityChart => {
        const shown = rows.filter((row) => row[measure.field] !== null).sort((a, b) => a.k - b.k);
        const [{ trace, sink, recent }] = rows;
        return {
          trace,
          field: measure.field,
          rows: shown,
          title: `${measure.title}: ${trace}`,
          description:
            `A line for each of ${legend.length} methods against the tokens taken, with ` +
            `windows of ${sink} first and ${recent} last tokens besides.`,
          legend: legend.filter(({ label }) => shown.some(({ method }) => method === label)),
          options: optionsOf(measure, shown, legend),
        };
      })
  );
}

function optionsOf(
  { field, title }: (typeof MEASURES)[number],
  shown: readonly QualityRow[],
  legend: Chart["legend"],
): Plot.PlotOptions {
  return {
    ...seriesScales(legend),
    x: {
      type: "symlog",
      label: "tokens taken of the middle, k",
      ticks: [...new Set(shown.map(({ k }) => k))],
      tickFormat: String,
      insetLeft: 12,
      insetRight: 12,
    },
    y: { label: title.toLowerCase(), grid: true, zero: true, nice: true },
    marks: [
      Plot.ruleY([0]),
      Plot.lineY(shown, { x: "k", y: field, z: "method", stroke: "method", strokeWidth: 2 }),
      Plot.dot(shown, {
        x: "k",
        y: field,
        fill: "method",
        stroke: "method",
        symbol: "method",
        r: 4,
        title: (row: QualityRow) => `${row.method}, k = ${row.k}: ${row[field]!.toPrecision(3)}`,
      }),
    ],
  };
}

/** The charts, one below the other, as the text of an SVG file. */
export function qualitySvg(rows: readonly QualityRow[]): string {
  return stackFiles(qualityCharts(rows).map(chartFile));
}
