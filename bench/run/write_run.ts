/** Writes a run as one JSON file, completely or not at all. */
import type { Session } from "../measure/session.ts";
import { writeWhole } from "../edge/files/output_file.ts";
import type { ResultRow, SampleRecord } from "../results/row.ts";
import { runDocument } from "../runner/run_document.ts";

/**
 * Writes the run to `path`, with the samples of its rows.
 *
 * @param samplesText A JSON record of samples on each line.
 * @throws {UsageError} in one sentence, if the file cannot be written.
 */
export function writeRun(
  path: string,
  session: Session,
  rows: readonly ResultRow[],
  samplesText: string,
): void {
  const samples = samplesText.split("\n").flatMap(sampleOf);
  writeWhole(path, runDocument(session, rows, samples));
}

/** The record of a line. A damaged line has none: its row is written without samples. */
function sampleOf(line: string): SampleRecord[] {
  try {
    return [JSON.parse(line)];
  } catch {
    return [];
  }
}
