/** The chart of speedups against KV length, for lines of cases or of devices. */
import * as Plot from "@observablehq/plot";
import {
  AXIS_HEIGHT,
  type Chart,
  CHART_HEIGHT,
  CHART_WIDTH,
  MARGIN_LEFT,
  MARGIN_RIGHT,
  MARGIN_TOP,
  type Series,
  seriesScales,
} from "../../chart/chart.ts";
import { dodge } from "../../chart/dodge.ts";
import { tokensName } from "../../findings/case_names.ts";

/** One measured speedup. */
export interface SpeedupPoint {
  /** The label of its series. */
  readonly line: string;
  readonly kvLen: number;
  readonly speedup: number;
}

/** Room beside the shortest and the longest length, for marks that are moved aside. */
const INSET = 20;
/** Marks closer than this, in pixels, would cover each other. */
const MARK_SIZE = 12;

/** The chart; marks that would cover each other stand side by side. */
export function speedupChart(
  title: string,
  points: readonly SpeedupPoint[],
  legend: readonly Series[],
  legendHeading?: string,
): Chart {
  const speedups = points.map(({ speedup }) => speedup);
  const [least, most] = [Math.min(...speedups), Math.max(...speedups)];
  const yDomain: [number, number] = [Math.min(1, least) / 1.15, Math.max(2, most) * 1.15];
  const kvLens = [...new Set(points.map(({ kvLen }) => kvLen))].sort((a, b) => a - b);
  const xDomain = lengthDomain(kvLens);
  const placed = placedPoints(points, xDomain, yDomain);
  return {
    title,
    description: `Speedup from ${least.toFixed(2)} to ${most.toFixed(2)} against KV length, a ` +
      `line for each of ${legend.length} series; the table holds the numbers.`,
    legend,
    ...(legendHeading === undefined ? {} : { legendHeading }),
    options: {
      ...seriesScales(legend),
      x: {
        type: "log",
        base: 2,
        domain: xDomain,
        label: "KV length (tokens)",
        ticks: kvLens,
        tickFormat: tokensName,
        insetLeft: INSET,
        insetRight: INSET,
      },
      y: {
        type: "log",
        base: 2,
        domain: yDomain,
        grid: true,
        label: "times as fast",
        ticks: [0.25, 0.5, 1, 2, 4, 8, 16, 32, 64].filter((t) => t > yDomain[0] && t < yDomain[1]),
        tickFormat: (value: number) => `${value}x`,
      },
      marks: [
        Plot.ruleY([1], { strokeDasharray: "4 3" }),
        Plot.lineY(placed, {
          x: "x",
          y: "speedup",
          z: "line",
          stroke: "line",
          strokeWidth: 2,
          strokeOpacity: 0.75,
        }),
        Plot.dot(placed, {
          x: "x",
          y: "speedup",
          fill: "line",
          stroke: "line",
          symbol: "line",
          r: 4,
          title: ({ line, kvLen, speedup }: SpeedupPoint) =>
            `${line}, ${tokensName(kvLen)}: ${speedup.toFixed(2)} times as fast`,
        }),
      ],
    },
  };
}

/** The domain from the shortest to the longest length, or around a single length. */
function lengthDomain(kvLens: readonly number[]): [number, number] {
  const [first, last] = [kvLens[0], kvLens[kvLens.length - 1]];
  return first < last ? [first, last] : [first / 2, last * 2];
}

/** The points by KV length, each with an `x` that is moved if its mark would cover another. */
function placedPoints(
  points: readonly SpeedupPoint[],
  xDomain: readonly [number, number],
  yDomain: readonly [number, number],
): (SpeedupPoint & { readonly x: number })[] {
  const width = CHART_WIDTH - MARGIN_LEFT - MARGIN_RIGHT - 2 * INSET;
  const height = CHART_HEIGHT - MARGIN_TOP - AXIS_HEIGHT;
  const octaves = ([from, to]: readonly [number, number]) => Math.log2(to / from);
  const perOctave = width / octaves(xDomain);
  const ordered = [...points].sort((a, b) => a.kvLen - b.kvLen);
  const offsets = dodge(
    ordered.map(({ kvLen, speedup }) => ({
      x: Math.log2(kvLen) * perOctave,
      y: Math.log2(speedup) * height / octaves(yDomain),
    })),
    MARK_SIZE,
  );
  return ordered.map((point, i) => ({
    ...point,
    x: point.kvLen * 2 ** (offsets[i] / perOctave),
  }));
}
