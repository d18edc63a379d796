/** A report as one HTML document. */
import { deviceVerdicts } from "../findings/verdict.ts";
import { type ReportData, sectionsOf } from "./figures/figures.ts";
import { pageHtml } from "./page.ts";

/**
 * The report of `data` as HTML.
 *
 * @param command The command line that the page shows.
 */
export function reportHtml(data: ReportData, command: string): string {
  const lead = deviceVerdicts(data.rows, data.plan);
  const written = new Date().toISOString();
  return pageHtml(sectionsOf(data), { command, written, lead });
}
