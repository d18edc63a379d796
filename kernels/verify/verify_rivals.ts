/** Verifies scores that are floats, and the decode steps of other systems. */
import { attendReference } from "../attend/reference.ts";
import { dotReference, type Scores } from "../score/reference.ts";
import { selectScoresReference } from "../select/reference.ts";
import { LABEL_FORMS } from "../core/labels.ts";
import { labelScores, verifyLabelAppend } from "./verify_labels.ts";
import { tiesOf, windowsOf } from "../core/problem.ts";
import type { BufferReader, ListRef } from "./buffer_reader.ts";
import {
  type ErrorTally,
  knownReference,
  type ListVerifier,
  type VerifyScope,
} from "./error_tally.ts";
import { PQ_SCORES, verifyNewestPqCodes } from "./verify_pq.ts";

/** The f64 scores of a list's tokens. */
type ScoresOf = (reader: BufferReader, ref: ListRef) => Promise<Scores>;

/** The definition of scores, by a buffer that only this score reads. The first one found holds. */
const SCORES: Readonly<Record<string, ScoresOf>> = {
  ...Object.fromEntries(LABEL_FORMS.map((form): [string, ScoresOf] => [
    form.labels,
    (reader, ref) => labelScores(form, reader, ref),
  ])),
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

/** Whether a score equals a reference up to rounding. */
export function isRounded(score: number, want: Scores, at: number): boolean {
  const wanted = want.scores[at];
  const bound = SCORE_ERROR * want.magnitudes[at] + (want.slack?.[at] ?? 0);
  return Math.abs(score - wanted) <= bound || Object.is(score, wanted);
}

/** Verifies the scores of a list up to rounding. */
export const verifyScores: ListVerifier = async (tally, reader, ref, hasBuffer) => {
  const source = Object.keys(SCORES).find(hasBuffer);
  if (source === undefined) throw new RangeError("these scores have no reference");
  const [got, want] = await Promise.all([reader.scores(ref), SCORES[source](reader, ref)]);
  for (let token = 0; token < ref.length; token++) {
    if (isRounded(got[token], want, token)) continue;
    const index = [ref.sequence, ref.head, token];
    return tally.fail("scores", index, got[token], want.scores[token]);
  }
};

/**
 * Verifies a step without codes: its scores, and its output from the tokens that these very scores
 * select. So each token taken has an exact score of at least the k-th largest, less the rounding of
 * the two. A step without scores attends the windows alone.
 */
export const verifyRivalStep: ListVerifier = async (tally, reader, ref, hasBuffer, scope) => {
  const { p } = reader;
  const scored = hasBuffer("scores");
  await verifyLabelAppend(tally, reader, ref, hasBuffer, scope);
  await verifyNewestPqCodes(tally, reader, ref, hasBuffer, scope);
  if (scored) await verifyScores(tally, reader, ref, hasBuffer, scope);
  const tokens = selectScoresReference(
    scored ? await reader.scores(ref) : [],
    windowsOf(scored ? p : { ...p, topK: { count: 0 } }, ref.length),
    tiesOf(p),
  );
  await verifyAttended(tally, reader, ref, tokens, scope);
};

/** Verifies the output of a list's query heads from the tokens that they attend. */
export async function verifyAttended(
  tally: ErrorTally,
  reader: BufferReader,
  ref: ListRef,
  tokens: Uint32Array,
  scope: VerifyScope,
): Promise<void> {
  const { p } = reader;
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
}
