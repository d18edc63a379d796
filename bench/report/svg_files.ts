/** Writes the figures of a report as files, for papers and pages. */
import { chartFile } from "../chart/chart.ts";
import { makeFolder, writeWhole } from "../edge/files/output_file.ts";
import { refuseFile } from "../edge/files/run_folder.ts";
import type { Section } from "../page/figures/figure.ts";

/**
 * Writes a file for each figure into `folder`, which is created if it is missing. Returns the
 * paths.
 *
 * @throws {UsageError | SystemError} in one sentence, if a file cannot be written.
 */
export function writeSvgFiles(folder: string, sections: readonly Section[]): string[] {
  refuseFile("figures", folder, "--svg");
  makeFolder(folder);
  return sections.flatMap(({ figures }) => figures).map(({ id, chart }) => {
    const path = `${folder.replace(/[/\\]+$/, "")}/${id}.svg`;
    writeWhole(path, chartFile(chart));
    return path;
  });
}
