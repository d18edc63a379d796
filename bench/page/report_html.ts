/** A report as one HTML document. */
import { deviceVerdicts } from "../findings/verdict.ts";
import { type ReportData, sectionsOf } from "./figures/figures.ts";
import { frontierLeads } from "./figures/frontier.ts";
import { pageHtml } from "./page.ts";

/**
 * The report of `data` as HTML.
 *
 * @param command The command line that the page shows.
 */
export function reportHtml(data: ReportData, command: string): string {
  const { rows, plan, frontier } = data;
  const lead = [
    ...deviceVerdicts(rows, plan),
    ...(frontier === undefined ? [] : frontierLeads(frontier)),
  ];
  const written = new Date().toISOString();
  return pageHtml(sectionsOf(data), { command, written, lead });
}
