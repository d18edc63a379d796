/**
 * A heat map of what a tuner measured over two parameters, as SVG text: in each cell the fastest
 * candidate that has its two values, whatever the others are.
 */
import { parse, View } from "vega";
import { compile, type TopLevelSpec } from "vega-lite";
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
export function heatMapSpec(
  cells: readonly HeatCell[],
  [nameX, nameY]: readonly [string, string],
  title: string,
): TopLevelSpec {
  const axis = { type: "ordinal" as const, sort: "ascending" as const };
  return {
    title,
    data: { values: [...cells] },
    width: { step: 56 },
    height: { step: 36 },
    encoding: {
      x: { ...axis, field: "x", title: nameX, axis: { labelAngle: 0 } },
      y: { ...axis, field: "y", title: nameY },
    },
    layer: [
      {
        mark: { type: "rect" },
        encoding: {
          color: {
            ...{ field: "us", type: "quantitative" as const, title: "least median, us" },
            scale: { type: "log" as const, scheme: "viridis" as const, reverse: true },
          },
        },
      },
      {
        mark: { type: "text", fontSize: 11 },
        encoding: {
          text: { field: "us", type: "quantitative" as const, format: ".3~r" },
          // Fast cells are bright, slow ones dark.
          color: {
            condition: { test: `datum.us < ${middleUs(cells)}`, value: "black" },
            value: "white",
          },
        },
      },
    ],
  };
}

/** The median in the middle of the color's scale. */
function middleUs(cells: readonly HeatCell[]): number {
  const times = cells.map(({ us }) => us);
  return Math.sqrt(Math.min(...times) * Math.max(...times));
}

/** The chart as the text of an SVG file. */
export async function heatMapSvg(
  cells: readonly HeatCell[],
  names: readonly [string, string],
  title: string,
): Promise<string> {
  const { spec } = compile(heatMapSpec(cells, names, title));
  const view = new View(parse(spec), { renderer: "none" });
  try {
    return await view.toSVG();
  } finally {
    view.finalize();
  }
}
