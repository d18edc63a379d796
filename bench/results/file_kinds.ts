/** Recognizes the suite's kinds of files, so that an error can name a file in the wrong place. */

interface FileKind {
  /** Describes the file and names the flag that takes it. */
  readonly description: string;
  /** Names that together occur in the first line of this kind of file only. */
  readonly names: readonly string[];
}

const CSV_KINDS: readonly FileKind[] = [
  { description: "a file of results", names: ["utc", "suite_version", "case_id"] },
  { description: "a file of peers, which --peers takes", names: ["peer", "us_median"] },
  {
    description: "what quality --csv wrote, which report --quality takes",
    names: ["trace", "method", "output_rel_err"],
  },
  {
    description: "what frontier wrote, which report --frontier takes",
    names: ["method", "bytes_per_token", "dense_us"],
  },
  {
    description: "the ratios of a run, whose results are in its results.csv",
    names: ["label", "case_id", "cuda_dense_us"],
  },
];

/** The description of a run's JSON document. */
export const RUN_DOCUMENT = "a run as bench --json wrote it";

const JSON_KINDS: readonly FileKind[] = [
  { description: RUN_DOCUMENT, names: ["schema", "suite"] },
  {
    description: "the raw samples of a run, whose results are in its results.csv",
    names: ["case_id", "us", "dropped_us"],
  },
  {
    description: "a tuner's log, which report --tune takes",
    names: ["type", "case_id", "checksum"],
  },
  { description: "a tuning file, which bench --tuned takes", names: ["schema", "entries"] },
];

/** Length of the examined text: enough for the first line of a log and the head of a document. */
const EXAMINED = 5000;

/**
 * Describes a file by its text, such as `a file of peers, which --peers takes`; null if unknown.
 */
export function describeFile(text: string): string | null {
  const start = text.slice(0, EXAMINED).replace(/^\ufeff/, "");
  if (start.trimStart().startsWith("{")) {
    const isIn = (name: string) => start.includes(`"${name}"`);
    return JSON_KINDS.find(({ names }) => names.every(isIn))?.description ?? null;
  }
  const [header] = start.split(/\r?\n/, 1);
  const columns = header.split(",").map((name) => name.replaceAll('"', "").trim());
  const isThere = (name: string) => columns.includes(name);
  return CSV_KINDS.find(({ names }) => names.every(isThere))?.description ?? null;
}
