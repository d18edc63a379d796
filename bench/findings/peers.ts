/**
 * Peers: times of other software for the same decode step or prompt attention, measured outside the
 * suite and read from CSV files. Files may be concatenated together with their headers.
 */
import * as v from "valibot";
import { column, columnNames, parseRows } from "../results/columns.ts";
import { damaged } from "../results/csv_lines.ts";

/** The work that a peer timed: a decode step, or causal attention over a whole prompt. */
export type PeerStage = "decode" | "prefill";

/** One time of one peer, in f16. */
export interface PeerTime {
  readonly stage: PeerStage;
  /** Name of the software, such as `torch_cudnn`. */
  readonly peer: string;
  readonly batch: number;
  readonly qHeads: number;
  readonly kvHeads: number;
  readonly headDim: number;
  /** Tokens in the cache; tokens of the prompt for `prefill`. */
  readonly kvLen: number;
  /** Microseconds per step. */
  readonly medianUs: number;
}

const ABOVE_0 = v.pipe(v.number(), v.finite(), v.gtValue(0));
const TIME = v.config(ABOVE_0, { message: "takes a number above 0, not" });
const SIZE_FAULT = "takes a whole number above 0, not";
const SIZE = v.nullable(v.config(v.pipe(ABOVE_0, v.safeInteger()), { message: SIZE_FAULT }));
const STAGE = v.picklist(["decode", "prefill"], "takes decode or prefill, not");

/** The columns of a file of peers, with their notes for docs/results.md. */
export const PEER_ROW = v.strictObject({
  peer: column(v.string(), "Name of the software, such as `torch_cudnn`."),
  batch: column(SIZE, "Number of sequences."),
  q_heads: column(SIZE, "Number of query heads."),
  kv_heads: column(SIZE, "Number of KV heads."),
  head_dim: column(SIZE, "Elements of a head's query, key or value."),
  kv_len: column(SIZE, "Tokens in the cache; tokens of the prompt for `prefill`."),
  us_median: column(TIME, "Median time of a step, in microseconds."),
  gbytes_per_s: column(v.nullable(TIME), "Rate of memory, in 10^9 bytes per second."),
  stage: v.optional(column(STAGE, "Decode step, or causal attention over a prompt."), "decode"),
});

type PeerRow = v.InferOutput<typeof PEER_ROW>;

/**
 * The times of one file's text. Rows without sizes, such as that of a plain copy, are checked and
 * left out, since they are not decode steps. Rows without a stage are decode steps.
 *
 * @param path Names the file in errors.
 * @throws {UsageError} for other columns, or naming the first damaged line.
 */
export function parsePeers(text: string, path: string): PeerTime[] {
  const names = columnNames(PEER_ROW).filter((name) => name !== "stage");
  const expected = `${names.join(", ")} and, optionally, stage`;
  const lines = parseRows(text, PEER_ROW, { path, expected, flag: "--peers" });
  return lines.flatMap(({ line, row }) => {
    if (row.peer === "") throw damaged(path, line, "names no peer");
    return hasSizes(row) ? [peerTime(row, path, line)] : [];
  });
}

function hasSizes({ batch, q_heads, kv_heads, head_dim, kv_len }: PeerRow): boolean {
  return [batch, q_heads, kv_heads, head_dim, kv_len].some((size) => size !== null);
}

function peerTime(row: PeerRow, path: string, line: number): PeerTime {
  const size = (name: "batch" | "q_heads" | "kv_heads" | "head_dim" | "kv_len") => {
    const value = row[name];
    if (value === null) throw damaged(path, line, `${name} ${SIZE_FAULT} ""`);
    return value;
  };
  return {
    stage: row.stage,
    peer: row.peer,
    batch: size("batch"),
    qHeads: size("q_heads"),
    kvHeads: size("kv_heads"),
    headDim: size("head_dim"),
    kvLen: size("kv_len"),
    medianUs: row.us_median,
  };
}
