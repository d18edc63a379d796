/** The rows of a run as HTML tables, with the cells of the table that `bench` prints. */
import { escapeXml } from "../chart/escape.ts";
import type { ResultRow } from "../results/row.ts";
import { type CaseBlock, caseBlock, rowsByCase } from "../tables/table.ts";

/** A table for each case. */
export function rowsHtml(rows: readonly ResultRow[]): string {
  return rowsByCase(rows).map((all) => blockHtml(caseBlock(all))).join("\n");
}

function blockHtml({ heading, notes, columns, lines }: CaseBlock): string {
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
