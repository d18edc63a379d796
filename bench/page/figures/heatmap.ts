/**
 * A heat map of a tuner's measurements over two parameters. Each cell shows the fastest candidate
 * with its two values, over all values of the other parameters.
 */
import * as Plot from "@observablehq/plot";
import type { Chart } from "../../chart/chart.ts";
import type { Measured } from "../../tuning/messages.ts";

/** A cell: the least median of its candidates, in microseconds. */
export interface HeatCell {
  readonly x: number;
  readonly y: number;
  readonly us: number;
}

/** The parameters of the columns and of the rows; null for the single row of one parameter. */
export type HeatNames = readonly [string, string | null];

/**
 * The two parameters whose values change the least median by the largest factors; the one with
 * fewer values makes the columns. Null if nothing varies, as with fewer than two candidates.
 */
export function varyingMost(latest: readonly Measured[]): HeatNames | null {
  const ran = latest.filter(({ us }) => us !== null);
  const names = [...new Set(ran.flatMap(({ params }) => Object.keys(params)))];
  const spreads = names.map((name) => {
    const values = Map.groupBy(ran, ({ params }) => params[name]);
    const least = Array.from(values.values(), (group) => Math.min(...group.map(({ us }) => us!)));
    return { name, values: values.size, spread: Math.max(...least) / Math.min(...least) };
  });
  spreads.sort((a, b) => b.spread - a.spread || b.values - a.values);
  const [first, second] = spreads;
  if (!first || first.values === 1) return null;
  if (!second || second.values === 1) return [first.name, null];
  return first.values > second.values ? [second.name, first.name] : [first.name, second.name];
}

/** The cells with a candidate. Candidates that failed or lack a parameter do not count. */
export function heatCells(
  latest: readonly Measured[],
  [nameX, nameY]: HeatNames,
): HeatCell[] {
  const cells = new Map<string, HeatCell>();
  for (const { params, us } of latest) {
    const [x, y] = [params[nameX], nameY === null ? 0 : params[nameY]];
    if (us === null || x === undefined || y === undefined) continue;
    const known = cells.get(`${x} ${y}`)?.us ?? Infinity;
    cells.set(`${x} ${y}`, { x, y, us: Math.min(us, known) });
  }
  return [...cells.values()];
}

/** The chart. Its color scale is logarithmic, since slow candidates are slower by factors. */
export function heatMapChart(
  cells: readonly HeatCell[],
  [nameX, nameY]: HeatNames,
  title: string,
): Chart {
  const ascending = (values: readonly number[]) => [...new Set(values)].sort((a, b) => a - b);
  const rows = ascending(cells.map(({ y }) => y)).reverse();
  const times = cells.map(({ us }) => us);
  return {
    title: `${title}: least median, us`,
    description: `Least median in microseconds for each ${nameX}` +
      (nameY === null ? "" : ` (columns) and ${nameY} (rows)`) +
      `, from ${cellText(Math.min(...times))} to ${cellText(Math.max(...times))}.`,
    legend: [],
    options: {
      height: 62 + 36 * rows.length,
      marginTop: 8,
      marginLeft: 72,
      x: { type: "band", domain: ascending(cells.map(({ x }) => x)), label: nameX, tickSize: 0 },
      y: { type: "band", domain: rows, label: nameY, tickSize: 0, axis: nameY ? "left" : null },
      color: { type: "log", scheme: "viridis", reverse: true, domain: spanOf(times) },
      marks: [
        Plot.cell(cells, { x: "x", y: "y", fill: "us" }),
        Plot.text(cells, {
          x: "x",
          y: "y",
          text: ({ us }: HeatCell) => cellText(us),
          // Fast cells are bright, slow ones dark.
          fill: ({ us }: HeatCell) => us < middleOf(times) ? "black" : "white",
        }),
      ],
    },
  };
}

/** Microseconds, short enough for a cell: 21.3k for 21,274. */
function cellText(us: number): string {
  const short = (value: number) => String(Number(value.toPrecision(3)));
  return us < 10_000 ? short(us) : `${short(us / 1000)}k`;
}

/** The ends of the color scale, which differ even if all cells have the same time. */
function spanOf(times: readonly number[]): [number, number] {
  const [least, most] = [Math.min(...times), Math.max(...times)];
  return [least, most > least ? most : least * 2];
}

/** The time in the middle of the logarithmic color scale. */
function middleOf(times: readonly number[]): number {
  return Math.sqrt(Math.min(...times) * Math.max(...times));
}
