/**
 * Native Sparse Attention (NSA, arXiv 2502.11089) in f64: the blocks and rows that a decode step
 * attends, and its output. Token t is the newest of t + 1.
 */
import { attendReference, type RowOf } from "../attend/reference.ts";

/** The sizes of the paper, in tokens; of `picks` in blocks. */
export const NSA = { stride: 16, span: 32, block: 64, picks: 16, window: 512 } as const;

/** Whether a variant is of NSA. */
export function isNsa(name: string): boolean {
  return name.includes("/nsa");
}

/** Compressed rows of which every token is cached: row i is of tokens 16 i to 16 i + 31. */
export function compressedRows(length: number): number {
  return length < NSA.span ? 0 : Math.floor((length - NSA.span) / NSA.stride) + 1;
}

/** A compressed row, with the sums of the magnitudes that its elements add up. */
export interface CompressedRow {
  readonly row: Float64Array;
  readonly magnitudes: Float64Array;
}

/**
 * The compressed row of 32 tokens: a linear map of their rows, to which positions are added.
 *
 * @param tokens Rows of keys or values, oldest first.
 * @param positions [32, D].
 * @param map [D, 32, D]: of each element of the row, by token and element.
 */
export function compressedRow(
  tokens: readonly ArrayLike<number>[],
  positions: ArrayLike<number>,
  map: ArrayLike<number>,
): CompressedRow {
  const dim = tokens[0].length;
  const row = new Float64Array(dim);
  const magnitudes = new Float64Array(dim);
  for (let output = 0; output < dim; output++) {
    tokens.forEach((token, i) => {
      for (let d = 0; d < dim; d++) {
        const at = i * dim + d;
        const weight = map[output * tokens.length * dim + at];
        row[output] += weight * (token[d] + positions[at]);
        magnitudes[output] += Math.abs(weight) * (Math.abs(token[d]) + Math.abs(positions[at]));
      }
    });
  }
  return { row, magnitudes };
}

/** Blocks of tokens; the last one may hold fewer than 64. */
export function blocksOf(length: number): number {
  return Math.ceil(length / NSA.block);
}

/** The blocks that are always taken: the first one and the last two, which may coincide. */
export function forcedBlocks(blocks: number): number[] {
  return [...new Set([0, blocks - 2, blocks - 1])].filter((block) => block >= 0 && block < blocks)
    .sort((a, b) => a - b);
}

/** The attention probabilities of compressed rows, summed over the query heads of a group. */
export interface GroupProbabilities {
  /** [rows]. */
  readonly sums: Float64Array;
  /** Largest sum of the magnitudes of the products of a logit, scaled: rounding is in proportion. */
  readonly magnitude: number;
}

/** The probabilities of `rows` compressed rows. */
export function groupProbabilities(
  queries: readonly ArrayLike<number>[],
  rowOfK: RowOf,
  rows: number,
): GroupProbabilities {
  const sums = new Float64Array(rows);
  let magnitude = 0;
  for (const q of queries) {
    const logits = new Float64Array(rows);
    for (let row = 0; row < rows; row++) {
      const k = rowOfK(row);
      let products = 0;
      for (let d = 0; d < q.length; d++) {
        logits[row] += q[d] * k[d] / Math.sqrt(q.length);
        products += Math.abs(q[d] * k[d]) / Math.sqrt(q.length);
      }
      magnitude = Math.max(magnitude, products);
    }
    const highest = logits.reduce((a, b) => Math.max(a, b), -Infinity);
    const powers = logits.map((logit) => Math.exp(logit - highest));
    const denominator = powers.reduce((a, b) => a + b, 0);
    for (let row = 0; row < rows; row++) sums[row] += powers[row] / denominator;
  }
  return { sums, magnitude };
}

/**
 * The score of each block: the probability of each compressed row, times the strides of 16 tokens in
 * which the row overlaps the block. Rows 4 j - 1 to 4 j + 3 weigh 1, 2, 2, 2 and 1 in block j. The
 * paper counts rows and blocks from 1 (equation 9); counted from 0, its sum would be that of block
 * j - 1.
 */
export function blockScores(probabilities: ArrayLike<number>, blocks: number): Float64Array {
  return Float64Array.from({ length: blocks }, (_, block) => {
    let score = 0;
    for (let row = 0; row < probabilities.length; row++) {
      const begin = Math.max(row * NSA.stride, block * NSA.block);
      const end = Math.min(row * NSA.stride + NSA.span, (block + 1) * NSA.block);
      if (end > begin) score += probabilities[row] * (end - begin) / NSA.stride;
    }
    return score;
  });
}

/** The blocks to attend, ascending: the forced ones, then the best; of equal ones the first. */
export function selectBlocks(scores: ArrayLike<number>): number[] {
  const forced = forcedBlocks(scores.length);
  const free = Array.from({ length: scores.length }, (_, block) => block)
    .filter((block) => !forced.includes(block))
    .sort((a, b) => scores[b] - scores[a] || a - b);
  return [...forced, ...free.slice(0, Math.max(0, NSA.picks - forced.length))]
    .sort((a, b) => a - b);
}

/** The tokens of blocks; of the last block those that exist. */
export function tokensOfBlocks(blocks: ArrayLike<number>, length: number): number[] {
  return Array.from(blocks).flatMap((block) =>
    Array.from({ length: NSA.block }, (_, i) => block * NSA.block + i)
  ).filter((token) => token < length);
}

/** K and V of a branch, and the rows that it attends. */
export interface Branch {
  readonly keys: RowOf;
  readonly values: RowOf;
  readonly rows: ArrayLike<number>;
}

/**
 * The output of a query head: the sum of its branches, each times its gate.
 *
 * @param dim Elements of a row of V.
 */
export function nsaReference(
  q: ArrayLike<number>,
  branches: readonly Branch[],
  gates: ArrayLike<number>,
  dim: number = q.length,
): Float64Array<ArrayBuffer> {
  const out = new Float64Array(dim);
  branches.forEach(({ keys, values, rows }, branch) => {
    if (rows.length === 0) return;
    const own = attendReference(q, keys, values, rows);
    own.forEach((value, d) => out[d] += gates[branch] * value);
  });
  return out;
}
