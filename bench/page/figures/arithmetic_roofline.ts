/** The roofline of arithmetic: operations per second against operations per byte. */
import * as Plot from "@observablehq/plot";
import { VARIANTS } from "../../../kernels/core/registry.ts";
import { MATRIX_FEATURE } from "../../../kernels/core/subgroup_matrices.ts";
import type { Stage } from "../../../kernels/core/variant.ts";
import type { Series } from "../../chart/chart.ts";
import { powersOf10, rangeOf } from "../../chart/log_axis.ts";
import type { ResultRow } from "../../results/row.ts";
import { caseName, lineNames } from "../../findings/case_names.ts";
import { decimalCell, type Figure, type TimedRow, timedRows } from "./figure.ts";
import { seriesAmong, stageSeries } from "./stage_series.ts";

/** Stages that compute in floating point; scores count bits. */
const FLOATING: readonly Stage[] = [
  ...["encode_query", "encode_append", "encode_prompt", "attend", "merge"] as const,
  ...["pipeline", "dense", "prefill", "rival"] as const,
];

/** The rates that the device's probes reached. */
interface Roof {
  readonly gbytesPerS: number;
  readonly gflopsPerS: number;
}

interface Point {
  readonly row: TimedRow;
  readonly stage: Stage;
  readonly flopsPerByte: number;
  readonly gflopsPerS: number;
}

/** Whether a kernel computes on matrix units. */
function multipliesMatrices(kernel: string): boolean {
  const found = VARIANTS.find(({ name }) => name === kernel);
  return found !== undefined && found.features.includes(MATRIX_FEATURE);
}

/** The figure, if the device's memory and its multiply-adds were probed. */
export function arithmeticRooflineFigures(rows: readonly ResultRow[]): Figure[] {
  const timed = timedRows(rows);
  const best = (pattern: RegExp, rate: "gbytes_per_s" | "gflops_per_s") =>
    Math.max(0, ...timed.filter(({ kernel }) => pattern.test(kernel)).map((row) => row[rate] ?? 0));
  const roof: Roof = {
    gbytesPerS: best(/^probe\/stream /, "gbytes_per_s"),
    gflopsPerS: best(/^probe\/fma$/, "gflops_per_s"),
  };
  const points = timed.flatMap((row): Point[] => {
    const { stage, gflops_per_s, gbytes_per_s } = row;
    if (!FLOATING.includes(stage) || !gflops_per_s || !gbytes_per_s) return [];
    if (multipliesMatrices(row.kernel)) return []; // this roof is not theirs
    return [{ row, stage, flopsPerByte: gflops_per_s / gbytes_per_s, gflopsPerS: gflops_per_s }];
  });
  const probed = roof.gbytesPerS > 0 && roof.gflopsPerS > 0;
  return probed && points.length > 0 ? [figureOf(rows, points, roof)] : [];
}

function figureOf(rows: readonly ResultRow[], points: readonly Point[], roof: Roof): Figure {
  const lines = lineNames(rows);
  const color = ({ stage }: Point) => stageSeries(stage).color;
  const ridge = roof.gflopsPerS / roof.gbytesPerS;
  const range = rangeOf([...points.map(({ flopsPerByte }) => flopsPerByte), ridge]);
  const line = [range[0], ridge, range[1]].map((x) => ({
    x,
    y: Math.min(roof.gflopsPerS, x * roof.gbytesPerS),
  }));
  const rates = [...points.map(({ gflopsPerS }) => gflopsPerS), ...line.map(({ y }) => y)];
  const roofSeries: Series = { label: "probes: streaming read, f32 multiply-adds", ...ROOF };
  return {
    id: "roofline-arithmetic",
    caption: "The least operations of a step over its median time, against operations per byte. " +
      "Left of the corner memory is the limit; right of it f32 multiply-adds are; kernels of matrix " +
      "units are left out. The probes are large: small steps end before they reach such rates.",
    chart: {
      title: "Roofline of arithmetic",
      description: `Rates in GFLOP/s of ${points.length} kernels against operations per byte, ` +
        `below a roof of ${roof.gbytesPerS.toFixed(0)} GB/s and ${roof.gflopsPerS.toFixed(0)} ` +
        "GFLOP/s; the table holds the numbers.",
      legend: [roofSeries, ...seriesAmong(points)],
      options: {
        height: 360,
        marginLeft: 68,
        x: {
          type: "log",
          domain: range,
          label: "operations per byte",
          tickFormat: String,
          ticks: powersOf10(range),
        },
        y: {
          type: "log",
          domain: rangeOf(rates),
          label: "GFLOP/s",
          grid: true,
          ticks: powersOf10(rates),
          tickFormat: String,
        },
        color: { type: "identity" },
        symbol: { type: "identity" },
        marks: [
          Plot.lineY(line, { x: "x", y: "y", strokeWidth: 1.5, curve: "linear" }),
          Plot.dot(points, {
            x: "flopsPerByte",
            y: "gflopsPerS",
            r: 3.5,
            fillOpacity: 0.55,
            fill: color,
            stroke: color,
            symbol: ({ stage }: Point) => stageSeries(stage).symbol,
            title: ({ row, flopsPerByte, gflopsPerS }: Point) =>
              `${row.kernel}, ${caseName(row, lines)}: ${decimalCell(gflopsPerS, 1)} GFLOP/s at ` +
              `${decimalCell(flopsPerByte, 2)} operations per byte`,
          }),
        ],
      },
    },
    table: {
      columns: ["kernel", "GFLOP/s", "operations per byte", "case"],
      rows: points.map(({ row, flopsPerByte, gflopsPerS }) => [
        row.kernel,
        decimalCell(gflopsPerS, 1),
        decimalCell(flopsPerByte, 2),
        caseName(row, lines),
      ]),
    },
  };
}

/** How the legend shows the roof. */
const ROOF: Omit<Series, "label"> = { color: "currentColor", symbol: "circle", dashes: "none" };
