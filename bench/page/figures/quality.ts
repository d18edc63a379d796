/** Figures of quality against budget, from the CSV of quality runs. */
import { qualityCharts } from "../../chart/quality_plot.ts";
import type { QualityRow } from "../../results/quality_rows.ts";
import { decimalCell, type Figure, idOf } from "./figure.ts";

/** Two figures for each trace: the output error and the attention mass caught. */
export function qualityFigures(rows: readonly QualityRow[]): Figure[] {
  return qualityCharts(rows).map(({ trace, field, rows, ...chart }): Figure => ({
    id: `quality-${field === "mass_middle" ? "mass" : "error"}-${idOf(trace)}`,
    caption: `Over all heads of the trace, with the first ${rows[0].sink} and the last ` +
      `${rows[0].recent} tokens always attended, seed ${rows[0].seed}. ${
        field === "mass_middle" ? "Higher is better." : "Lower is better."
      }`,
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
