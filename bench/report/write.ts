/** A report, written to a file. */
import { writeWhole } from "../quality/output_file.ts";
import { deviceVerdicts } from "../verdict.ts";
import { type ReportData, sectionsOf } from "./figures.ts";
import { pageHtml } from "./page.ts";

/**
 * Writes the report of `data` to `path`.
 *
 * @param command The command line that the page shows.
 * @throws {UsageError} in one sentence, if it cannot be written.
 */
export function writeReport(path: string, data: ReportData, command: string): void {
  const lead = deviceVerdicts(data.rows, data.plan);
  const written = new Date().toISOString();
  writeWhole(path, pageHtml(sectionsOf(data), { command, written, lead }));
}
