/** The figures of a report as files, for papers and pages. */
import { systemReason } from "../../fixtures/system_reason.ts";
import { chartFile } from "../chart/chart.ts";
import { writeWhole } from "../quality/output_file.ts";
import { UsageError } from "../usage_error.ts";
import type { Section } from "./figures.ts";

/**
 * Writes a file for each figure into `folder`, made where it is missing, and returns their paths.
 *
 * @throws {UsageError} in one sentence, if it cannot be written.
 */
export function writeSvgFiles(folder: string, sections: readonly Section[]): string[] {
  try {
    Deno.mkdirSync(folder, { recursive: true });
  } catch (error) {
    throw new UsageError(`Cannot write ${folder}: ${systemReason(error)}.`);
  }
  return sections.flatMap(({ figures }) => figures).map(({ id, chart }) => {
    const path = `${folder.replace(/[/\\]+$/, "")}/${id}.svg`;
    writeWhole(path, chartFile(chart));
    return path;
  });
}
