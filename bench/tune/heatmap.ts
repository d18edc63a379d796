/**
 * A heat map of what a tuner measured over two parameters, as SVG text: in each cell the fastest
 * candidate that has its two values, whatever the others are.
 */
import * as Plot from "@observablehq/plot";
import { type Chart, chartFile } from "../chart/chart.ts";
import type { Measured } from "./messages.ts";

/** A cell: the least median of its candidates, in microseconds. */
export interface HeatCell {
  readonly x: number;
  readonly y: number;
  readonly us: number;
  /** Candidates that ran. */
  readonly candidates: number;
}

/** The cells that candidates fell into; those that failed or lack a parameter do not count. */
export function heatCells(
  latest: readonly Measured[],
  [nameX, nameY]: readonly [string, string],
): HeatCell[] {
  const cells = new Map<string, HeatCell>();
  for (const { params, us } of latest) {
    const [x, y] = [params[nameX], params[nameY]];
    if (us === null || x === undefined || y === undefined) continue;
    const known = cells.get(`${x} ${y}`);
    cells.set(`${x} ${y}`, {
      ...{ x, y, us: Math.min(us, known?.us ?? Infinity) },
      candidates: 1 + (known?.candidates ?? 0),
    });
  }
  return [...cells.values()];
}

/** The chart; the color's scale is logarithmic, since the slow ones are slow by factors. */
export function heatMapChart(
  cells: readonly HeatCell[],
  [nameX, nameY]: readonly [string, string],
  title: string,
): Chart {
  const ascending = (values: readonly number[]) => [...new Set(values)].sort((a, b) => a - b);
  const rows = ascending(cells.map(({ y }) => y)).reverse();
  const times = cells.map(({ us }) => us);
  return {
    title: `${title}: least median, us`,
    description: `Least median in microseconds for each ${nameX} (columns) and ${nameY} (rows).`,
    legend: [],
    options: {
      ...{ height: 62 + 36 * rows.length, marginTop: 8, marginLeft: 72 },
      x: { type: "band", domain: ascending(cells.map(({ x }) => x)), label: nameX, tickSize: 0 },
      y: { type: "band", domain: rows, label: nameY, tickSize: 0 },
      color: { type: "log", scheme: "viridis", reverse: true, domain: spanOf(times) },
      marks: [
        Plot.cell(cells, { x: "x", y: "y", fill: "us" }),
        Plot.text(cells, {
          ...{ x: "x", y: "y", text: ({ us }: HeatCell) => String(Number(us.toPrecision(3))) },
          // Fast cells are bright, slow ones dark.
          fill: ({ us }: HeatCell) => us < middleOf(times) ? "black" : "white",
        }),
      ],
    },
  };
}

/** The color scale's ends; apart even where all cells took as long. */
function spanOf(times: readonly number[]): [number, number] {
  const [least, most] = [Math.min(...times), Math.max(...times)];
  return [least, most > least ? most : least * 2];
}

/** The median in the middle of the color's scale. */
function middleOf(times: readonly number[]): number {
  return Math.sqrt(Math.min(...times) * Math.max(...times));
}

/** The chart as the text of an SVG file. */
export function heatMapSvg(
  cells: readonly HeatCell[],
  names: readonly [string, string],
  title: string,
): string {
  return chartFile(heatMapChart(cells, names, title));
}
