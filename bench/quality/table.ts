/** The table that a quality run prints. */
import { fitColumns, leftOutNote, rule, type TextColumn, wrapText } from "../tables/text_table.ts";
import type { QualityRow } from "../results/quality_rows.ts";

interface Column extends TextColumn {
  cell(row: QualityRow): string;
}

const COLUMNS: readonly Column[] = [
  { heading: "method", words: true, cell: (row) => row.method },
  {
    heading: "bits",
    importance: 1,
    cell: (row) => String(row.bits_per_token_per_kv_head),
  },
  { heading: "bytes", importance: 2, cell: (row) => String(row.code_bytes) },
  { heading: "sparsity", cell: (row) => String(row.sparsity) },
  { heading: "k", importance: 0, cell: (row) => String(row.k) },
  { heading: "recall", importance: 3, cell: (row) => share(row.recall) },
  { heading: "mass middle", cell: (row) => share(row.mass_middle) },
  { heading: "mass total", cell: (row) => share(row.mass_total) },
  { heading: "output error", cell: (row) => share(row.output_rel_err) },
];

function share(value: number | null): string {
  return value?.toFixed(3) ?? "";
}

/**
 * A block for each trace with the rows over all heads, by sparsity and then by method.
 *
 * @param width Most characters per line; the least important columns are left out if necessary.
 */
export function formatQuality(rows: readonly QualityRow[], width = Infinity): string {
  const traces = Map.groupBy(rows.filter(({ head }) => head === "all"), ({ trace }) => trace);
  return Array.from(traces, ([trace, all]) => {
    const [{ queries, sink, recent, budget, query_set }] = all;
    const sorted = all.toSorted((a, b) => a.sparsity - b.sparsity);
    const { lines, leftOut } = fitColumns(
      COLUMNS,
      sorted.map((row) => COLUMNS.map((column) => column.cell(row))),
      width,
    );
    const notes = leftOutNote(leftOut, "--csv FILE has all columns");
    return [
      ...wrapText(
        `${trace}: ${queries} ${queries === 1 ? "query" : "queries"} of all heads${
          query_set === "all" ? "" : " in the last quarter"
        }, sink ${sink}, ` +
          `recent ${recent}${budget === "trace" ? "" : ", k by context (its mean is shown)"}`,
        width,
      ),
      "",
      lines[0],
      rule(lines),
      ...lines.slice(1),
      ...notes.flatMap((note) => wrapText(note, width)),
    ].join("\n");
  }).join("\n\n");
}
