/**
 * Peers: times of other software for the same decode step or prompt attention, measured outside the
 * suite and read from CSV files. A file may be several concatenated, headers and all.
 */
import { csvLines, damaged, decimalNumber, integerNumber } from "../results/csv_lines.ts";

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
  /** Tokens in the cache; those of the prompt for `prefill`. */
  readonly kvLen: number;
  /** Microseconds per step. */
  readonly medianUs: number;
}

const SIZES = ["batch", "q_heads", "kv_heads", "head_dim", "kv_len"] as const;
const DUE = ["peer", ...SIZES, "us_median", "gbytes_per_s"] as const;
const COLUMNS = [...DUE, "stage"] as const;

/**
 * The times of one file's text. Rows without sizes, such as that of a plain copy, are checked and
 * left out: they are no decode step. Rows without a stage are decode steps.
 *
 * @param path Names the file in errors.
 * @throws {UsageError} naming the first line that is wrong.
 */
export function parsePeers(text: string, path: string): PeerTime[] {
  const due = `${DUE.join(", ")} and, optionally, stage`;
  const lines = csvLines(text, COLUMNS, { path, due, flag: "--peers", optional: ["stage"] });
  return lines.flatMap((csvLine) => {
    const text = (name: (typeof COLUMNS)[number]) => csvLine.text(name);
    const refuse = (name: (typeof COLUMNS)[number], due: string) =>
      damaged(path, csvLine.line, `${name} takes ${due} above 0, not "${text(name)}"`);
    const above0 = (name: (typeof COLUMNS)[number]) => {
      const value = decimalNumber(text(name));
      if (value > 0 && value < Infinity) return value;
      throw refuse(name, "a number");
    };
    const size = (name: (typeof SIZES)[number]) => {
      const value = integerNumber(text(name));
      if (value > 0) return value;
      throw refuse(name, "a whole number");
    };
    if (text("peer") === "") throw damaged(path, csvLine.line, "names no peer");
    if (text("gbytes_per_s") !== "") above0("gbytes_per_s");
    const medianUs = above0("us_median");
    const stage = text("stage") || "decode";
    if (stage !== "decode" && stage !== "prefill") {
      throw damaged(path, csvLine.line, `stage takes decode or prefill, not "${stage}"`);
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
