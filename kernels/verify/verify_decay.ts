/** Verifies the decode steps of attention with decays. */
import { attendReference, type RowOf } from "../attend/reference.ts";
import { groupSize } from "../core/problem/derived.ts";
import { decayBlocks } from "../attend/decayed.ts";
import { laterDecays, LN_EPS, normOf, pruneThreshold } from "../attend/decay_reference.ts";
import type { BufferReader } from "./buffer_reader.ts";
import type { ListRef } from "./list_ref.ts";
import { type ErrorTally, knownReference, type ListVerifier } from "./error_tally.ts";
import { verifyZeros } from "./verify_rivals.ts";

/** Relative error of a sum of up to 2^14 f32 of one sign, and of norms. */
const SUM_ERROR = 1e-5;

/** The decays of a query head after a step. */
interface HeadDecays {
  /** The first token that its list attends, if it prunes. */
  readonly begin: number;
  readonly threshold: number;
  /** [tokens], to the ends of their blocks. */
  readonly decays: Float32Array;
  /** [blocks]. */
  readonly blocks: Float32Array;
  /** [blocks], over the later blocks, in f64. */
  readonly later: Float64Array;
}

async function readDecays(reader: BufferReader, row: number, length: number): Promise<HeadDecays> {
  const { p, params } = reader;
  const start = row * (decayBlocks(p, params) + 2);
  const used = Math.ceil(length / params.DECAY_BLOCK);
  const [[begin, threshold], blocks, decays] = await Promise.all([
    reader.f32("block_decays", start, 2),
    reader.f32("block_decays", start + 2, used),
    reader.f32("decays", row * p.capacity, length),
  ]);
  return { begin, threshold, blocks, decays, later: laterDecays(blocks) };
}

/** Verifies that the newest gate was added to the decays of its block, in f32. */
async function verifyAppended(
  tally: ErrorTally,
  reader: BufferReader,
  row: number,
  { length }: ListRef,
  { decays, blocks }: HeadDecays,
): Promise<void> {
  const block = reader.params.DECAY_BLOCK;
  const size = block + 2;
  const read = (tokens: number) => reader.f32("decay_state", (2 * row + tokens % 2) * size, size);
  const [before, after, [gate]] = await Promise.all([
    read(length - 1),
    read(length),
    reader.f32("log_gates", row, 1),
  ]);
  const place = (length - 1) % block;
  const old = place === 0 ? [0] : before.subarray(0, place + 1);
  const want = [...Array.from(old, (value) => Math.fround(value + gate)), 0];
  tally.exact("decay_state", [row], after.subarray(0, place + 2), want);
  tally.exact("decays", [row], decays.subarray(length - 1 - place), want.slice(1));
  tally.exact("block_decays", [row], blocks.subarray(-1), [want[0]]);
}

/** Verifies the largest norm of a key, and the threshold of a head that prunes. */
async function verifyThreshold(
  tally: ErrorTally,
  reader: BufferReader,
  row: number,
  { length }: ListRef,
  { threshold }: HeadDecays,
  newestKey: ArrayLike<number>,
): Promise<void> {
  const { p, params } = reader;
  const size = params.DECAY_BLOCK + 2;
  const normAt = (tokens: number) =>
    reader.f32("decay_state", (2 * row + tokens % 2) * size + size - 1, 1);
  const [q, [older], [largest]] = await Promise.all([
    reader.headRow("q", row),
    normAt(length - 1),
    normAt(length),
  ]);
  const norm = Math.max(length === 1 ? 0 : older, normOf(newestKey));
  tally.row("decay_state, largest norm", [row], [largest], [norm]);
  if (params.PRUNE === 0) return;
  const wanted = pruneThreshold(normOf(q), norm, p.headDim, length);
  tally.row("block_decays, threshold", [row], [threshold], [wanted]);
}

/**
 * Verifies the first token that a list attends: that of the first block which is not strictly below
 * the threshold for one of its heads, up to the rounding of sums.
 */
function verifyBegin(
  tally: ErrorTally,
  row: number,
  block: number,
  list: readonly HeadDecays[],
): void {
  const [{ begin }] = list;
  const slack = (threshold: number) => SUM_ERROR * Math.abs(threshold);
  const first = begin / block;
  const isKept = list.some(({ later, threshold }) => later[first] >= threshold - slack(threshold));
  const isFirst = list.every(({ later, threshold }) =>
    first === 0 || later[first - 1] < threshold + slack(threshold)
  );
  if (!isKept || !isFirst || list.some((each) => each.begin !== begin)) {
    const want = Math.min(
      ...list.map(({ later, threshold }) => later.findIndex((each) => each >= threshold)),
    );
    tally.fail("block_decays, first token", [row], begin, want * block);
  }
}

/** The share of attention that tokens before `begin` would have had, in f64. */
function prunedShare(
  q: ArrayLike<number>,
  keys: RowOf,
  biasOf: (token: number) => number,
  begin: number,
  length: number,
): number {
  const logits = Float64Array.from({ length }, (_, token) => {
    const row = keys(token);
    let dot = 0;
    for (let d = 0; d < q.length; d++) dot += q[d] * row[d];
    return dot / Math.sqrt(q.length) + biasOf(token);
  });
  const highest = logits.reduce((a, b) => Math.max(a, b));
  const weights = logits.map((logit) => Math.exp(logit - highest));
  const sum = (part: Float64Array) => part.reduce((a, b) => a + b, 0);
  return sum(weights.subarray(0, begin)) / sum(weights);
}

/**
 * Verifies a step with decays: what it appends, exactly; where it begins, by its own threshold,
 * which is right up to rounding; that the tokens before have at most eps of the attention; and the
 * output from the others, with decays in f64.
 */
export const verifyDecayStep: ListVerifier = async (tally, reader, ref, _hasBuffer, scope) => {
  const { p, params } = reader;
  const { length, sequence } = ref;
  if (length === 0) return await verifyZeros(tally, reader, ref);
  const [keys, values] = await Promise.all([
    reader.cacheRows("keys", ref, 0, length),
    reader.cacheRows("values", ref, 0, length),
  ]);
  const g = groupSize(p);
  const heads = params["attend.HEADS"];
  const groupRow = sequence * p.qHeads + ref.kvHead * g;
  const ofGroup = await Promise.all(
    Array.from({ length: g }, (_, h) => readDecays(reader, groupRow + h, length)),
  );
  await Promise.all(ref.queryRows.map(async (row) => {
    const first = Math.floor((row - groupRow) / heads) * heads;
    const own = ofGroup[row - groupRow];
    const begin = params.PRUNE === 0 ? 0 : own.begin;
    await verifyAppended(tally, reader, row, ref, own);
    await verifyThreshold(tally, reader, row, ref, own, keys(length - 1));
    if (params.PRUNE === 1) {
      verifyBegin(tally, row, params.DECAY_BLOCK, ofGroup.slice(first, first + heads));
    }
    const [q, out, [sinkLogit]] = await Promise.all([
      reader.headRow("q", row),
      reader.headRow("out", row),
      reader.f32("sink_logits", row % p.qHeads, 1),
    ]);
    const biasOf = (token: number) =>
      own.decays[token] + own.later[Math.floor(token / params.DECAY_BLOCK)];
    const pruned = await knownReference(
      scope,
      `pruned ${row} ${begin}`,
      () => Promise.resolve(Float64Array.of(prunedShare(q, keys, biasOf, begin, length))),
    );
    if (begin > 0 && !(pruned[0] <= Math.exp(LN_EPS))) {
      tally.fail("share of the pruned tokens", [row], pruned[0], Math.exp(LN_EPS));
    }
    const want = await knownReference(scope, `decayed ${row} ${begin} ${sinkLogit}`, () => {
      const tokens = Uint32Array.from({ length: length - begin }, (_, i) => begin + i);
      return Promise.resolve(
        attendReference(q, keys, values, tokens, undefined, sinkLogit, biasOf),
      );
    });
    tally.row("out", [sequence, row % p.qHeads], out, want);
  }));
};
