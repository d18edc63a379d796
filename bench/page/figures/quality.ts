/** Figures of quality against budget, from the CSV of quality runs. */
import { qualityCharts } from "../../chart/quality_plot.ts";
import type { QualityRow } from "../../results/quality_rows.ts";
import { decimalCell, type Figure, idOf } from "./figure.ts";

/** Two figures for each trace: the output error and the attention mass caught. */
export function qualityFigures(rows: readonly QualityRow[]): Figure[] {
  return qualityCharts(rows).map(({ trace, field, rows, ...chart }): Figure => ({
    id: `quality-${field === "mass_middle" ? "mass" : "error"}-${idOf(trace)}`,
    caption: captionOf(rows[0], field === "mass_middle" ? "Higher" : "Lower"),
    chart,
    table: {
      columns: ["method", "bits read per token", "k", "recall", "mass, middle", "mass", "error"],
      rows: rows.map((row) => [
        ...[row.method, row.bits_per_token_per_kv_head, row.k, decimalCell(row.recall, 3)],
        ...[decimalCell(row.mass_middle, 3), decimalCell(row.mass_total, 3)],
        decimalCell(row.output_rel_err, 4),
      ]),
    },
  }));
}

function captionOf({ sink, recent, seed, budget, query_set }: QualityRow, better: string): string {
  const queries = query_set === "all" ? "" : ", queries of its last quarter";
  const k = budget === "trace" ? "" : " k is a share of each query's context; its mean is shown.";
  return `Over all heads of the trace${queries}, with the first ${sink} and the last ${recent} ` +
    `tokens always attended, seed ${seed}.${k} ${better} is better.`;
}
