/** Figures of quality against budget, from the CSV of quality runs. */
import { csvLines, damaged, decimalNumber, readText } from "../csv_lines.ts";
import { qualityCharts } from "../quality/plot.ts";
import { QUALITY_COLUMNS, type QualityRow } from "../quality/rows.ts";
import { decimalCell, type Figure, idOf } from "./figure.ts";

/** Numbers that a row may lack. */
const MAY_BE_EMPTY: readonly string[] = ["recall", "mass_middle", "output_rel_err"];

/**
 * The rows of a file that `deno task quality --csv` wrote.
 *
 * @throws {UsageError} for other columns, or naming the first damaged line.
 */
export function readQuality(path: string): QualityRow[] {
  const lines = csvLines(readText(path), QUALITY_COLUMNS, { path, due: "quality --csv writes" });
  return lines.map((csvLine) =>
    Object.fromEntries(QUALITY_COLUMNS.map((name) => {
      const text = csvLine.text(name);
      if (["trace", "method"].includes(name) || name === "head" && text === "all") {
        return [name, text];
      }
      if (text === "" && MAY_BE_EMPTY.includes(name)) return [name, null];
      const value = decimalNumber(text);
      if (Number.isFinite(value) && value >= 0) return [name, value];
      throw damaged(path, csvLine.line, `${name} cannot be "${text}"`);
    })) as unknown as QualityRow
  );
}

/** For each trace a figure of the output's error and one of the mass caught. */
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
