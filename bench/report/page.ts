/** The report as one HTML file: nothing in it comes from elsewhere. Pure. */
import { chartSvg } from "../chart/chart.ts";
import { escapeXml } from "../chart/escape.ts";
import type { Figure, Table, TableCell } from "./figure.ts";
import type { Section } from "./figures.ts";
import { STYLE } from "./style.ts";

/** What the page tells besides its sections. */
export interface PageFacts {
  /** The command that wrote it. */
  readonly command: string;
  /** ISO 8601. */
  readonly written: string;
}

/** The whole page. Every text from outside is escaped. */
export function pageHtml(sections: readonly Section[], { command, written }: PageFacts): string {
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>HashAttention Bench: report</title>
<link rel="icon" href="data:,">
<style>${STYLE}</style>
</head>
<body>
<a class="skip" href="#main">Skip to the results</a>
<header>
<h1>HashAttention Bench: report</h1>
${sections.map(verdictsHtml).join("")}
<p>Written ${escapeXml(written.slice(0, 16).replace("T", " "))} UTC by</p>
<pre><code>${escapeXml(command)}</code></pre>
<nav aria-label="Figures"><ul>${sections.map(linksHtml).join("")}</ul></nav>
</header>
<main id="main">
${sections.map(sectionHtml).join("\n")}
</main>
</body>
</html>
`;
}

/** Sections may have figures of the same titles: their names go with the links. */
function linksHtml({ heading, figures }: Section, i: number): string {
  const links = figures.map(({ id, chart }) =>
    `<li><a href="#${id}">${escapeXml(chart.title)}${hiddenHtml(heading)}</a></li>`
  );
  return `<li><a href="#section-${i}">${escapeXml(heading)}</a><ul>${links.join("")}</ul></li>`;
}

/** What a section comes to, for readers who have ten seconds. */
function verdictsHtml({ heading, verdicts = [] }: Section): string {
  if (verdicts.length === 0) return "";
  const items = verdicts.map((verdict) => `<li>${escapeXml(verdict)}</li>`);
  return `<div class="verdicts"><p>${escapeXml(heading)}</p><ul>${items.join("")}</ul></div>`;
}

/** Said, not shown. */
function hiddenHtml(heading: string): string {
  return `<span class="hidden">, ${escapeXml(heading)}</span>`;
}

function sectionHtml({ heading, facts, warning, figures }: Section, i: number): string {
  const list = facts.map(([name, value]) =>
    `<div><dt>${escapeXml(name)}</dt><dd>${escapeXml(value)}</dd></div>`
  );
  return `<section aria-labelledby="section-${i}">
<h2 id="section-${i}">${escapeXml(heading)}</h2>
${warning === null ? "" : `<p class="warning">${escapeXml(warning)}</p>`}
${list.length === 0 ? "" : `<dl>${list.join("")}</dl>`}
<div class="figures">
${
    figures.length > 0
      ? figures.map((figure) => figureHtml(figure, heading)).join("\n")
      : "<p>Too little for a figure.</p>"
  }
</div>
</section>`;
}

function figureHtml({ id, caption, chart, table }: Figure, heading: string): string {
  const name = `${chart.title}, ${heading}`;
  return `<article id="${id}" aria-labelledby="${id}-title">
<h3 id="${id}-title">${escapeXml(chart.title)}${hiddenHtml(heading)}</h3>
<figure>
${chartSvg(chart)}
<figcaption>${escapeXml(caption.trim())}</figcaption>
</figure>
<details>
<summary>The numbers<span class="hidden"> of ${escapeXml(name)}</span></summary>
${tableHtml(table, name)}
</details>
</article>`;
}

function tableHtml({ columns, rows }: Table, title: string): string {
  const head = columns.map((name) => `<th scope="col">${escapeXml(name)}</th>`).join("");
  const body = rows.map((row) => `<tr>${row.map(cellHtml).join("")}</tr>`).join("\n");
  const label = escapeXml(`Numbers of ${title}`);
  return `<div class="scroll" tabindex="0" role="region" aria-label="${label}">
<table>
<thead><tr>${head}</tr></thead>
<tbody>
${body}
</tbody>
</table>
</div>`;
}

function cellHtml(cell: TableCell, i: number): string {
  const text = escapeXml(typeof cell === "number" ? cell.toLocaleString("en-US") : cell ?? "");
  if (i === 0) return `<th scope="row">${text}</th>`;
  return typeof cell === "number" ? `<td class="number">${text}</td>` : `<td>${text}</td>`;
}
