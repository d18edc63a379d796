/** Figures of the speedup of the sparse step over dense attention, against KV length. Pure. */
import * as Plot from "@observablehq/plot";
import { type Series, seriesOf, seriesScales } from "../chart/chart.ts";
import type { PeerTime } from "../peers.ts";
import { type CaseTimes, caseTimes, type NamedTime } from "../ratios.ts";
import type { ResultRow } from "../row.ts";
import { lineNames, sharedSettings } from "./case_names.ts";
import { decimalCell, type Figure, microsCell, tokensName } from "./figure.ts";

/** What the sparse step is set against. */
interface Rival {
  readonly id: string;
  readonly name: string;
  readonly caption: string;
  time(times: CaseTimes): NamedTime | null;
}

const RIVALS: readonly Rival[] = [
  {
    ...{ id: "speedup-wgsl", name: "the fastest dense kernel here" },
    caption: "Median time of the fastest dense WGSL kernel over that of the fastest whole sparse " +
      "step of the same case.",
    time: ({ wgslDense }) => wgslDense,
  },
  {
    ...{ id: "speedup-cuda", name: "dense attention in CUDA" },
    caption:
      "Median time of the fastest dense attention of PyTorch (FlashAttention or cuDNN) over " +
      "that of the fastest whole sparse step of the same shape.",
    time: ({ cudaDense }) => cudaDense,
  },
];

interface Point {
  readonly line: string;
  readonly kvLen: number;
  readonly speedup: number;
  readonly dense: NamedTime;
  readonly step: NamedTime;
}

/** A figure for each rival that was measured. */
export function speedupFigures(
  rows: readonly ResultRow[],
  peers: readonly PeerTime[],
): Figure[] {
  const lines = lineNames(rows);
  const times = caseTimes(rows, peers, lines);
  const told = new Set(times.map(({ row }) => row.case_id));
  const settings = sharedSettings(
    rows.filter(({ case_id, stage }) => told.has(case_id) && stage !== "probe"),
  );
  // The same colours in each figure, whatever cases a rival lacks.
  const series = seriesOf([...new Set(times.map(({ label }) => label))]);
  return RIVALS.flatMap((rival) => {
    const points = times.flatMap((each) => pointOf(each, rival));
    return points.length > 0 ? [figureOf(rival, points, series, settings)] : [];
  });
}

function pointOf(times: CaseTimes, rival: Rival): Point[] {
  const { label: line, row, step } = times;
  const dense = rival.time(times);
  if (!dense || !step) return [];
  return [{ line, kvLen: row.kv_len, speedup: dense.medianUs / step.medianUs, dense, step }];
}

function figureOf(
  { id, name, caption }: Rival,
  points: readonly Point[],
  series: readonly Series[],
  settings: string,
): Figure {
  const legend = series.filter(({ label }) => points.some(({ line }) => line === label));
  const ordered = [...points].sort((a, b) => a.kvLen - b.kvLen);
  const speedups = points.map(({ speedup }) => speedup);
  const [least, most] = [Math.min(...speedups), Math.max(...speedups)];
  const domain = [Math.min(1, least) / 1.15, Math.max(2, most) * 1.15];
  return {
    id,
    caption: `${caption} Above 1 the sparse step is faster. ${settings ? `All: ${settings}.` : ""}`,
    chart: {
      title: `Speedup over ${name}`,
      description: `Speedup from ${least.toFixed(2)} to ${most.toFixed(2)} against KV length, a ` +
        "line for each shape; the table holds the numbers.",
      legend,
      options: {
        ...seriesScales(legend),
        x: {
          ...{ type: "log", base: 2, label: "KV length (tokens)" },
          ...{ ticks: [...new Set(points.map(({ kvLen }) => kvLen))], tickFormat: tokensName },
          insetLeft: 12,
          insetRight: 12,
        },
        y: {
          ...{ type: "log", base: 2, domain, grid: true, label: "times as fast" },
          ticks: [0.25, 0.5, 1, 2, 4, 8, 16, 32, 64].filter((t) => t > domain[0] && t < domain[1]),
          tickFormat: (value: number) => `${value}x`,
        },
        marks: [
          Plot.ruleY([1], { strokeDasharray: "4 3" }),
          Plot.lineY(ordered, {
            x: "kvLen",
            y: "speedup",
            z: "line",
            stroke: "line",
            strokeWidth: 2,
          }),
          Plot.dot(ordered, {
            ...{ x: "kvLen", y: "speedup", fill: "line", stroke: "line", symbol: "line", r: 4 },
          }),
        ],
      },
    },
    table: {
      columns: ["case", "KV length", "dense", "dense us", "sparse step", "step us", "speedup"],
      rows: points.map(({ line, kvLen, dense, step, speedup }) => [
        ...[line, kvLen, dense.name, microsCell(dense.medianUs)],
        ...[step.name, microsCell(step.medianUs), decimalCell(speedup, 2)],
      ]),
    },
  };
}
