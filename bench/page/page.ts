/** The report as one HTML file, which loads nothing from elsewhere. */
import { counted } from "../base/counted.ts";
import { chartSvg } from "../chart/chart.ts";
import { escapeXml } from "../chart/escape.ts";
import type { Figure, Section, SectionTable, Table, TableCell } from "./figures/figure.ts";
import type { DeviceVerdicts } from "../findings/verdict.ts";
import { STYLE } from "./style.ts";

/** Facts on the page besides its sections. */
export interface PageFacts {
  /** The command line that wrote the page. */
  readonly command: string;
  /** ISO 8601. */
  readonly written: string;
  /** The verdicts on each device, which begin the page. */
  readonly lead?: readonly DeviceVerdicts[];
}

/** The whole page. Every text from outside is escaped. */
export function pageHtml(
  sections: readonly Section[],
  { command, written, lead = [] }: PageFacts,
): string {
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
${lead.map(leadHtml).join("\n")}
<nav aria-label="Contents"><ul>${sections.map(sectionLinkHtml).join("")}</ul></nav>
</header>
<main id="main">
${sections.map(sectionHtml).join("\n")}
</main>
<footer>
<p>Written ${escapeXml(written.slice(0, 16).replace("T", " "))} UTC by</p>
<pre><code>${escapeXml(command)}</code></pre>
</footer>
</body>
</html>
`;
}

/**
 * The verdicts on one device, for readers who have ten seconds: the first one is shown, the others
 * are folded away.
 */
export function leadHtml({ device, sentences: [first, ...others] }: DeviceVerdicts): string {
  const list = (sentences: readonly string[]) =>
    `<ul>${sentences.map((sentence) => `<li>${escapeXml(sentence)}</li>`).join("")}</ul>`;
  const more = others.length === 0
    ? ""
    : `<details><summary>${counted(others.length, "more group")} of cases</summary>${
      list(others)
    }</details>`;
  return `<div class="lead"><p>${escapeXml(device)}</p>${list([first])}${more}</div>`;
}

function sectionLinkHtml({ heading }: Section, i: number): string {
  return `<li><a href="#section-${i}">${escapeXml(heading)}</a></li>`;
}

/** Links to the figures and tables. Sections may share titles, so each link names its section. */
function linksHtml({ heading, tables, figures }: Section): string {
  const [first, ...others] = figures.map(({ id, chart }) => ({ id, title: chart.title }));
  const titles = [...(first ? [first] : []), ...tables, ...others];
  if (titles.length < 2) return "";
  const links = titles.map(({ id, title }) =>
    `<li><a href="#${id}">${escapeXml(title)}${hiddenHtml(heading)}</a></li>`
  );
  return `<ul class="links">${links.join("")}</ul>`;
}

/** A section's name for screen readers only. */
function hiddenHtml(heading: string): string {
  return `<span class="hidden">, ${escapeXml(heading)}</span>`;
}

/**
 * A section with its tables and figures.
 *
 * @param i Tells its id from those of the page's other sections.
 */
export function sectionHtml(section: Section, i: number | string): string {
  const { heading, facts, warning, tables, figures } = section;
  const list = facts.map(([name, value]) =>
    `<div><dt>${escapeXml(name)}</dt><dd>${escapeXml(value)}</dd></div>`
  );
  // The tables come right after the first figure, whose numbers they sum up.
  const [first, ...others] = figures;
  const isEmpty = tables.length + figures.length === 0;
  return `<section aria-labelledby="section-${i}">
<h2 id="section-${i}">${escapeXml(heading)}</h2>
${warning === null ? "" : `<p class="warning">${escapeXml(warning)}</p>`}
${linksHtml(section)}
<div class="figures">
${first ? figureHtml(first, heading) : ""}
${tables.map((table) => sectionTableHtml(table, heading)).join("\n")}
${others.map((figure) => figureHtml(figure, heading)).join("\n")}
${isEmpty ? "<p>Too little for a figure.</p>" : ""}
</div>
${
    list.length === 0
      ? ""
      : `<details class="facts"><summary>How it was measured${hiddenHtml(heading)}</summary><dl>${
        list.join("")
      }</dl></details>`
  }
</section>`;
}

function sectionTableHtml(
  { id, title, caption, wide, table }: SectionTable,
  heading: string,
): string {
  return `<article id="${id}" class="open${wide ? " wide" : ""}" aria-labelledby="${id}-title">
<h3 id="${id}-title">${escapeXml(title)}${hiddenHtml(heading)}</h3>
${tableHtml(table, `${title}, ${heading}`)}
<p class="caption">${escapeXml(caption)}</p>
</article>`;
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

function tableHtml({ columns, rows, formats = {} }: Table, title: string): string {
  const cellHtml = (cell: TableCell, i: number) => {
    const format = formats[columns[i]] ?? ((value: number) => value.toLocaleString("en-US"));
    const text = escapeXml(typeof cell === "number" ? format(cell) : cell ?? "");
    if (i === 0) return `<th scope="row">${text}</th>`;
    return typeof cell === "number" ? `<td class="number">${text}</td>` : `<td>${text}</td>`;
  };
  const head = columns.map((name, i) => {
    const isNumber = i > 0 && rows.some((row) => typeof row[i] === "number");
    return `<th scope="col"${isNumber ? ` class="number"` : ""}>${escapeXml(name)}</th>`;
  }).join("");
  const body = rows.map((row) =>
    row.length === 1 && columns.length > 1
      ? `<tr class="group"><th scope="colgroup" colspan="${columns.length}">${
        escapeXml(String(row[0] ?? ""))
      }</th></tr>`
      : `<tr>${row.map(cellHtml).join("")}</tr>`
  ).join("\n");
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
