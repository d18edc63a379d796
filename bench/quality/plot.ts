/**
 * The plot of a quality run as SVG text. Vega-Lite draws it: it is kept, states a chart as data and
 * renders to a string without a browser, a canvas or a stand-in for the DOM.
 */
import { parse, View } from "vega";
import { compile, type TopLevelSpec } from "vega-lite";
import type { QualityRow } from "./rows.ts";

/** The measures that are plotted, where there are any values of them. */
const MEASURES = [
  { field: "output_rel_err", title: "output error against dense" },
  { field: "mass_middle", title: "attention mass caught, middle" },
] as const;

/** The chart over all heads: for each trace a panel of error and one of mass, against k. */
export function qualitySpec(rows: readonly QualityRow[]): TopLevelSpec {
  const traces = Map.groupBy(rows.filter(({ head }) => head === "all"), ({ trace }) => trace);
  const methods = [...new Set(rows.map(({ method }) => method))];
  return {
    vconcat: Array.from(traces, ([trace, values]) => ({
      title: `${trace}, sink ${values[0].sink}, recent ${values[0].recent}`,
      hconcat: MEASURES.filter(({ field }) => values.some((row) => row[field] !== null))
        .map(({ field, title }) => ({
          data: { values: [...values] },
          width: 360,
          height: 280,
          mark: { type: "line" as const, point: true },
          encoding: {
            x: {
              field: "k",
              type: "quantitative" as const,
              scale: { type: "symlog" as const, zero: false },
              axis: { values: [...new Set(values.map(({ k }) => k))], grid: false },
              title: "tokens taken of the middle, k",
            },
            y: { field, type: "quantitative" as const, scale: { zero: true }, title },
            color: {
              field: "method",
              type: "nominal" as const,
              scale: { domain: methods, scheme: "tableau10" as const },
              title: "method",
            },
          },
        })),
    })),
  };
}

/** The chart as the text of an SVG file. */
export async function qualitySvg(rows: readonly QualityRow[]): Promise<string> {
  const view = new View(parse(compile(qualitySpec(rows)).spec), { renderer: "none" });
  try {
    return await view.toSVG();
  } finally {
    view.finalize();
  }
}
