/** Verifies scores that are floats, and the decode steps of other systems. */
import { attendReference } from "../attend/reference.ts";
import { dotReference, type Scores } from "../score/reference.ts";
import { selectScoresReference } from "../select/reference.ts";
import { tiesOf, windowsOf } from "../core/problem.ts";
import type { BufferReader, ListRef } from "./buffer_reader.ts";
import { knownReference, type ListVerifier } from "./error_tally.ts";
import { PQ_SCORES, verifyNewestPqCodes } from "./verify_pq.ts";

/** The f64 scores of a list's tokens. */
type ScoresOf = (reader: BufferReader, ref: ListRef) => Promise<Scores>;

/** The definition of scores, by a buffer that only this score reads. The first one found holds. */
const SCORES: Readonly<Record<string, ScoresOf>> = {
  ...PQ_SCORES,
  keys: async (reader, ref) => {
    const [q, keys] = await Promise.all([
      reader.headRow("q", ref.queryRows[0]),
      reader.cacheRows("keys", ref, 0, ref.length),
    ]);
    return dotReference(q, keys, ref.length);
  },
};

/**
 * Error of a score in f32, over the sum of the magnitudes that it adds up: up to 256 products in
 * sums of up to 32 each.
 */
const SCORE_ERROR = 4e-6;

/** Verifies the scores of a list up to rounding. */
export const verifyScores: ListVerifier = async (tally, reader, ref, hasBuffer) => {
  const source = Object.keys(SCORES).find(hasBuffer);
  if (source === undefined) throw new RangeError("these scores have no reference");
  const [got, want] = await Promise.all([reader.scores(ref), SCORES[source](reader, ref)]);
  for (let token = 0; token < ref.length; token++) {
    const [score, wanted] = [got[token], want.scores[token]];
    const bound = SCORE_ERROR * want.magnitudes[token] + (want.slack?.[token] ?? 0);
    if (Math.abs(score - wanted) <= bound || Object.is(score, wanted)) continue;
    return tally.fail("scores", [ref.sequence, ref.head, token], score, wanted);
  }
};

/**
 * Verifies a step without codes: its scores, and its output from the tokens that these very scores
 * select. So each token taken has an exact score of at least the k-th largest, less the rounding of
 * the two. A step without scores attends the windows alone.
 */
export const verifyRivalStep: ListVerifier = async (tally, reader, ref, hasBuffer, scope) => {
  const { p } = reader;
  await verifyNewestPqCodes(tally, reader, ref, hasBuffer, scope);
  const scored = hasBuffer("scores");
  if (scored) await verifyScores(tally, reader, ref, hasBuffer, scope);
  const tokens = selectScoresReference(
    scored ? await reader.scores(ref) : [],
    windowsOf(scored ? p : { ...p, topK: { count: 0 } }, ref.length),
    tiesOf(p),
  );
  await Promise.all(ref.queryRows.map(async (row) => {
    const head = row % p.qHeads;
    const [q, out, [sinkLogit]] = await Promise.all([
      reader.headRow("q", row),
      reader.headRow("out", row),
      reader.f32("sink_logits", head, 1),
    ]);
    const want = await knownReference(scope, `attend ${row} ${sinkLogit} ${tokens}`, async () => {
      const [keys, values] = await Promise.all([
        reader.cacheRows("keys", ref, 0, ref.length),
        reader.cacheRows("values", ref, 0, ref.length),
      ]);
      return attendReference(q, keys, values, tokens, undefined, sinkLogit);
    });
    tally.row("out", [ref.sequence, head], out, want);
  }));
};
