/** The report's figures as a part of the page. */
import { deviceVerdicts } from "../findings/verdict.ts";
import { leadHtml, sectionHtml } from "../page/page.ts";
import { type ReportData, sectionsOf } from "../page/figures/figures.ts";
import { frontierLeads } from "../page/figures/frontier.ts";

/** What begins a report, as HTML: the verdicts on each device, and the best steps of a frontier. */
export function verdictHtml({ rows, frontier }: Pick<ReportData, "rows" | "frontier">): string {
  const leads = [
    ...deviceVerdicts(rows),
    ...(frontier === undefined ? [] : frontierLeads(frontier)),
  ];
  return leads.map(leadHtml).join("\n");
}

/**
 * The sections of a report as HTML.
 *
 * @param part Makes ids unique on a page with several parts.
 */
export function reportPartHtml(data: ReportData, part: string): string {
  const prefixed = <T extends { readonly id: string }>(each: T): T => (
    { ...each, id: `${part}-${each.id}` }
  );
  const sections = sectionsOf(data).map((section) => ({
    ...section,
    tables: section.tables.map(prefixed),
    figures: section.figures.map(prefixed),
  }));
  return sections.map((section, i) => sectionHtml(section, `${part}-${i}`)).join("\n");
}
