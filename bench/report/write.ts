/** A report, written to a file. */
import { writeWhole } from "../quality/output_file.ts";
import { type ReportData, sectionsOf } from "./figures.ts";
import { pageHtml } from "./page.ts";

/**
 * Writes the report of `data` to `path`.
 *
 * @param command The command line that the page shows.
 * @throws {UsageError} in one sentence, if it cannot be written.
 */
export function writeReport(path: string, data: ReportData, command: string): void {
  writeWhole(path, pageHtml(sectionsOf(data), { command, written: new Date().toISOString() }));
}
