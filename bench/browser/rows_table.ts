/** The rows of a run as HTML tables, with the cells of the table that `bench` prints. */
import { escapeXml } from "../chart/escape.ts";
import type { FrontierRow } from "../results/frontier_rows.ts";
import type { ResultRow } from "../results/row.ts";
import { type CaseBlock, caseBlock, rowsByCase } from "../tables/table.ts";
import { micros } from "../tables/text_table.ts";

/** A table for each case. */
export function rowsHtml(rows: readonly ResultRow[]): string {
  return rowsByCase(rows).map((all) => blockHtml(caseBlock(all))).join("\n");
}

/** The table of one case. */
export function blockHtml({ heading, notes, columns, lines }: CaseBlock): string {
  const kind = (i: number) => columns[i].words ? "" : ` class="number"`;
  const head = columns.map((column, i) =>
    `<th scope="col"${kind(i)}>${escapeXml(column.heading)}</th>`
  );
  const body = lines.map(({ cells, failure }) => {
    const [first, ...rest] = cells.map(escapeXml);
    const row = `<tr><th scope="row">${first}</th>${
      rest.map((cell, i) => `<td${kind(i + 1)}>${cell}</td>`).join("")
    }</tr>`;
    if (failure === "") return row;
    return `${row}<tr class="failure"><td colspan="${columns.length}">${
      escapeXml(failure)
    }</td></tr>`;
  });
  const label = escapeXml(heading);
  return `<div class="rows"><h3>${label}</h3>
<p class="caption">${notes.map(escapeXml).join("<br>")}</p>
<div class="scroll" tabindex="0" role="region" aria-label="Rows of ${label}">
<table><thead><tr>${head.join("")}</tr></thead><tbody>${body.join("")}</tbody></table>
</div></div>`;
}

/** The rows of a frontier, before they are joined to points. */
export function frontierBlock(rows: readonly FrontierRow[]): CaseBlock {
  const [{ shape, kv_len, software }] = rows;
  const columns = [
    { heading: "method", words: true },
    { heading: "tokens taken" },
    { heading: "trace", words: true },
    { heading: "error" },
    { heading: software ? "MB moved" : "median us" },
    { heading: "x dense" },
    { heading: "kernel", words: true },
  ];
  const megabytes = (bytes: number) => (bytes / 1e6).toFixed(2);
  return {
    heading: `${shape}, ${kv_len} tokens`,
    notes: ["Errors are of real traces, costs of the length above."],
    columns,
    lines: rows.map((row) => ({
      cells: [
        row.method,
        row.budget === null ? "windows" : `N/${row.budget}`,
        row.trace,
        row.error?.toFixed(3) ?? "",
        software ? megabytes(row.bytes) : micros(row.us),
        (software ? row.dense_bytes / row.bytes : row.ratio)?.toFixed(2) ?? "",
        row.kernel,
      ],
      failure: "",
    })),
  };
}
