/**
 * Peers: times of other software for the same decode step or prompt attention, measured outside the
 * suite and read from CSV files. A file may be several concatenated, headers and all.
 */
import { csvLines, damaged, decimalNumber, readText } from "./csv_lines.ts";

/** What a peer timed: a query token per sequence, or causal attention over a whole prompt. */
export type PeerStage = "decode" | "prefill";

/** One time of one peer, in f16. */
export interface PeerTime {
  readonly stage: PeerStage;
  /** Who, such as `torch_cudnn`. */
  readonly peer: string;
  readonly batch: number;
  readonly qHeads: number;
  readonly kvHeads: number;
  readonly headDim: number;
  /** Tokens in the cache; of the prompt for `prefill`. */
  readonly kvLen: number;
  /** Microseconds per step. */
  readonly medianUs: number;
}

const SIZES = ["batch", "q_heads", "kv_heads", "head_dim", "kv_len"] as const;
const COLUMNS = ["peer", ...SIZES, "us_median", "gbytes_per_s"] as const;

/** A file may have this column too, behind the others. */
const STAGE = "stage";

/**
 * Reads files of peers.
 *
 * @throws {UsageError} one sentence on the first that cannot be read or is not what it should be.
 */
export function readPeers(paths: readonly string[]): PeerTime[] {
  return paths.flatMap((path) => parsePeers(readText(path), path));
}

/**
 * The times of one file's text. Rows without sizes, such as that of a plain copy, are checked and
 * left out: they are no decode step. Rows without a stage are decode steps.
 *
 * @param path Names the file in errors.
 * @throws {UsageError} naming the first line that is wrong.
 */
export function parsePeers(text: string, path: string): PeerTime[] {
  return partsOf(text).flatMap((part) => parsePart(part, path));
}

/** Lines of a file below one header, that included. */
interface FilePart {
  readonly text: string;
  /** The line, from 1, on which its header stands. */
  readonly firstLine: number;
}

/** The parts of a file that was concatenated from some with a column for the stage and some without. */
function partsOf(text: string): FilePart[] {
  const lines = text.split(/\r?\n/);
  const isHeader = (line: string) =>
    line.replaceAll('"', "").startsWith(`${COLUMNS[0]},${COLUMNS[1]},`);
  const starts = lines.flatMap((line, i) => i === 0 || isHeader(line) ? [i] : []);
  return starts.map((start, i) => ({
    text: lines.slice(start, starts[i + 1]).join("\n"),
    firstLine: start + 1,
  }));
}

function parsePart({ text, firstLine }: FilePart, path: string): PeerTime[] {
  const header = text.split("\n", 1)[0].replaceAll('"', "").trim();
  const columns: readonly string[] = header.endsWith(`,${STAGE}`) ? [...COLUMNS, STAGE] : COLUMNS;
  const due = `${COLUMNS.join()}, with or without ${STAGE} behind them`;
  return csvLines(text, columns, { path, due, firstLine }).flatMap(({ line, fields }) => {
    const text = (name: string) => fields[columns.indexOf(name)]?.trim() ?? "";
    const above0 = (name: string) => {
      const value = decimalNumber(text(name));
      if (value > 0) return value;
      throw damaged(path, line, `${name} takes a number above 0, not "${text(name)}"`);
    };
    const size = (name: (typeof SIZES)[number]) => {
      if (/^[1-9]\d*$/.test(text(name))) return Number(text(name));
      throw damaged(path, line, `${name} takes a whole number above 0, not "${text(name)}"`);
    };
    if (text("peer") === "") throw damaged(path, line, "names no peer");
    if (text("gbytes_per_s") !== "") above0("gbytes_per_s");
    const medianUs = above0("us_median");
    const stage = text(STAGE) || "decode";
    if (stage !== "decode" && stage !== "prefill") {
      throw damaged(path, line, `${STAGE} takes decode or prefill, not "${stage}"`);
    }
    if (SIZES.every((name) => text(name) === "")) return [];
    return [{
      stage,
      peer: text("peer"),
      batch: size("batch"),
      qHeads: size("q_heads"),
      kvHeads: size("kv_heads"),
      headDim: size("head_dim"),
      kvLen: size("kv_len"),
      medianUs,
    }];
  });
}
