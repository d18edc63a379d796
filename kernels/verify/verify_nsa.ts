/** Verifies the decode step of Native Sparse Attention. */
import {
  blockScores,
  blocksOf,
  compressedRow,
  compressedRows,
  forcedBlocks,
  groupProbabilities,
  NSA,
  nsaReference,
  selectBlocks,
  tokensOfBlocks,
} from "../pipeline/nsa_reference.ts";
import { picksStart } from "../pipeline/nsa.ts";
import { groupSize, valueDimOf } from "../core/problem/derived.ts";
import type { BufferReader } from "./buffer_reader.ts";
import type { ListRef } from "./list_ref.ts";
import { type ErrorTally, knownReference, type ListVerifier } from "./error_tally.ts";

/** Error of a logit in f32, over the sum of the magnitudes that it adds up. */
const LOGIT_ERROR = 2e-6;

/** Error of a block score, over the largest one, beside that of its logits. */
const SCORE_ERROR = 1e-6;
/** A score of probabilities that f32 may flush to zero. */
const FLUSHED_SCORE = 2 ** -116;

/** Error of rounding a row's elements; a driver may round to either neighbour in f16. */
const ROUNDING = { f16: 2 ** -10, bf16: 2 ** -8, f32: 0 } as const;

/** The smallest f16 that is not zero: errors below it are none. */
const SMALLEST = 2 ** -24;

/** Error of an element in f32, over the sum of the magnitudes that it adds up. */
const ELEMENT_ERROR = 4e-6;

/** Verifies the compressed row that the newest token completes, if it does. */
export const verifyCompressedRow: ListVerifier = async (tally, reader, ref) => {
  const { p } = reader;
  const { sequence, kvHead, length } = ref;
  const row = compressedRows(length) - 1;
  if (row < 0 || length % NSA.stride !== 0) return;
  const span = NSA.span * p.headDim;
  const head = sequence * p.kvHeads + kvHead;
  await Promise.all((["keys", "values"] as const).map(async (name, i) => {
    const at = p.capacity + row;
    const [raw, map, positions, rows] = await Promise.all([
      reader.elements(`raw_${name}`, head * span, span),
      reader.elements("compress_map", (2 * kvHead + i) * span * p.headDim, span * p.headDim),
      reader.elements("compress_positions", (2 * kvHead + i) * span, span),
      reader.cacheRows(`branch_${name}`, ref, at, at + 1),
    ]);
    const tokens = Array.from(
      { length: NSA.span },
      (_, token) => raw.subarray(((length + token) % NSA.span) * p.headDim).subarray(0, p.headDim),
    );
    const { row: want, magnitudes } = compressedRow(tokens, positions, map);
    const got = rows(at);
    for (let d = 0; d < p.headDim; d++) {
      const bound = ROUNDING[p.dtype] * Math.abs(want[d]) + ELEMENT_ERROR * magnitudes[d] +
        SMALLEST;
      if (Math.abs(got[d] - want[d]) <= bound) continue;
      return tally.fail(`compressed row of ${name}`, [sequence, kvHead, d], got[d], want[d]);
    }
  }));
};

/** Rows of a KV head in one of the caches of the three branches. */
function rowsOf(reader: BufferReader, ref: ListRef, first: number, rows: number) {
  return Promise.all((["branch_keys", "branch_values"] as const).map(async (name) => {
    const rowOf = await reader.cacheRows(name, ref, first, first + Math.max(1, rows));
    return (row: number) => rowOf(first + row);
  }));
}

/**
 * The scores of a KV head's blocks in f64, and behind them by how much a score may be too small for
 * the block to be taken, since the step computes in f32.
 */
async function scoresOf(reader: BufferReader, ref: ListRef): Promise<Float64Array> {
  const { p } = reader;
  const rows = compressedRows(ref.length);
  const first = (ref.sequence * p.kvHeads + ref.kvHead) * groupSize(p);
  const [[keys], ...queries] = await Promise.all([
    rowsOf(reader, ref, p.capacity, rows),
    ...Array.from({ length: groupSize(p) }, (_, h) => reader.headRow("q", first + h)),
  ]);
  const { sums, magnitude } = groupProbabilities(queries, keys, rows);
  const scores = blockScores(sums, blocksOf(ref.length));
  const free = scores.filter((_, block) => !forcedBlocks(scores.length).includes(block));
  const most = free.reduce((a, b) => Math.max(a, b), 0);
  const rounding = most * (SCORE_ERROR + 4 * LOGIT_ERROR * magnitude);
  return Float64Array.of(...scores, rounding + FLUSHED_SCORE);
}

/**
 * Checks the blocks that a step took: as many as there are, up to 16, the forced ones among them,
 * none twice, none whose exact score is below the cut by more than rounding, and all that are above
 * it by more.
 */
function checkBlocks(
  tally: ErrorTally,
  index: readonly number[],
  taken: Uint32Array,
  scores: Float64Array,
  slack: number,
): void {
  const blocks = scores.length;
  const want = selectBlocks(scores);
  const known = [...new Set(taken)].filter((block) => block < blocks);
  if (known.length !== want.length) {
    tally.fail("number of blocks", index, known.length, want.length);
  }
  const forced = forcedBlocks(blocks);
  for (const block of forced) {
    if (!known.includes(block)) tally.fail("forced block", index, NaN, block);
  }
  const cut = Math.min(...want.filter((block) => !forced.includes(block)).map((b) => scores[b]));
  for (const block of known) {
    if (forced.includes(block) || !(scores[block] < cut - slack)) continue;
    tally.fail(`score of block ${block}`, index, scores[block], cut);
  }
  // Where one score exceeds all others by far, none of these is below the cut by more than rounding.
  for (let block = 0; block < blocks; block++) {
    if (known.includes(block) || !(scores[block] > cut + slack)) continue;
    tally.fail(`score of block ${block}, which was not taken`, index, scores[block], cut);
  }
}

/**
 * Verifies a step of NSA: its blocks up to the rounding of their scores, and its output from these
 * very blocks.
 */
export const verifyNsaStep: ListVerifier = async (tally, reader, ref, _hasBuffer, scope) => {
  const { p, params } = reader;
  const { sequence, kvHead, length } = ref;
  const head = sequence * p.kvHeads + kvHead;
  const count = Math.min(blocksOf(length), NSA.picks);
  const [all, taken] = await Promise.all([
    knownReference(scope, `nsa scores ${head}`, () => scoresOf(reader, ref)),
    reader.u32("hand_over", picksStart(p, params) + head * NSA.picks, NSA.picks),
  ]);
  const picks = taken.subarray(0, count);
  checkBlocks(tally, [sequence, kvHead], picks, all.subarray(0, -1), all[all.length - 1]);
  const tokens = tokensOfBlocks(picks, length);
  await Promise.all(ref.queryRows.map(async (row) => {
    const [q, gates, out] = await Promise.all([
      reader.headRow("q", row),
      reader.f32("gates", 3 * row, 3),
      reader.headRow("out", row),
    ]);
    const want = await knownReference(scope, `nsa ${row} ${picks}`, async () => {
      const sizes = [
        [p.capacity, compressedRows(length)],
        [0, length],
        [p.capacity + p.capacity / NSA.stride, Math.min(length, NSA.window)],
      ] as const;
      const branches = await Promise.all(sizes.map(async ([first, rows], branch) => {
        const [keys, values] = await rowsOf(reader, ref, first, rows);
        const all = Array.from({ length: rows }, (_, i) => i);
        return { keys, values, rows: branch === 1 ? tokens : all };
      }));
      return nsaReference(q, branches, gates, valueDimOf(p));
    });
    tally.row("out", [sequence, row % p.qHeads], out, want);
  }));
};
