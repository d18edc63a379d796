/** Verifies scores that are floats, and the decode steps of other systems. */
import { attendReference } from "../attend/reference.ts";
import { INDEX } from "../core/system_layout.ts";
import { byteRowReference, dotReference, indexReference, type Scores } from "../score/reference.ts";
import { selectScoresReference } from "../select/reference.ts";
import { LABEL_FORMS } from "../core/problem/labels.ts";
import type { Params } from "../core/problem/constants.ts";
import { dsaProblem } from "../score/index.ts";
import { labelScores, verifyLabelAppend } from "./verify_labels.ts";
import type { Problem } from "../core/problem/problem.ts";
import { tiesOf, windowsOf } from "../core/problem/derived.ts";
import type { BufferReader } from "./buffer_reader.ts";
import type { ListRef } from "./list_ref.ts";
import {
  type ErrorTally,
  knownReference,
  type ListVerifier,
  type VerifyScope,
} from "./error_tally.ts";
import { PQ_SCORES, verifyNewestPqCodes } from "./verify_pq.ts";

/** The definition of scores that are floats. */
interface ScoreDefinition {
  /** The problem of the scores and of their selection (default: the given one). */
  own?(p: Problem, params: Params): Problem;
  /** The f64 scores of a list's tokens. */
  scoresOf(reader: BufferReader, ref: ListRef, scope: VerifyScope): Promise<Scores>;
  /** Verifies what a step adds to the buffers that it keeps. */
  verifyKept?(tally: ErrorTally, reader: BufferReader, ref: ListRef): Promise<void>;
}

/** The definitions of scores, by a buffer that only this score reads. The first one found holds. */
const SCORES: Readonly<Record<string, ScoreDefinition>> = {
  ...Object.fromEntries(LABEL_FORMS.map((form): [string, ScoreDefinition] => [
    form.labels,
    { scoresOf: (reader, ref) => labelScores(form, reader, ref) },
  ])),
  ...Object.fromEntries(
    Object.entries(PQ_SCORES).map(([codes, scoresOf]) => [codes, { scoresOf }]),
  ),
  index_codes: { own: dsaProblem, scoresOf: indexScores, verifyKept: verifyIndexRow },
  keys: {
    async scoresOf(reader, ref) {
      const [q, keys] = await Promise.all([
        reader.headRow("q", ref.queryRows[0]),
        reader.cacheRows("keys", ref, 0, ref.length),
      ]);
      return dotReference(q, keys, ref.length);
    },
  },
};

/** The definition of the scores of a variant with these buffers. */
function definitionOf(hasBuffer: (name: string) => boolean): ScoreDefinition {
  const source = Object.keys(SCORES).find(hasBuffer);
  if (source === undefined) throw new RangeError("these scores have no reference");
  return SCORES[source];
}

/** The problem of the scores that a reader reads. */
function ownProblem({ own }: ScoreDefinition, { p, params }: BufferReader): Problem {
  return own?.(p, params) ?? p;
}

/** The scores that the list of some query heads takes. */
function scoresRead(
  definition: ScoreDefinition,
  reader: BufferReader,
  ref: ListRef,
): Promise<Float32Array> {
  const single = ownProblem(definition, reader).singleList;
  return reader.scores(single ? { ...ref, list: ref.sequence } : ref);
}

/** Scores by the index are of a whole sequence, whose lists share them. */
const madeScores = new WeakMap<BufferReader, Map<number, Promise<Scores>>>();

function indexScores(
  reader: BufferReader,
  { sequence, length }: ListRef,
  scope: VerifyScope,
): Promise<Scores> {
  const made = madeScores.get(reader) ?? new Map<number, Promise<Scores>>();
  madeScores.set(reader, made);
  const known = made.get(sequence) ?? indexScoresOf(reader, sequence, length, scope);
  made.set(sequence, known);
  return known;
}

async function indexScoresOf(
  reader: BufferReader,
  sequence: number,
  length: number,
  scope: VerifyScope,
): Promise<Scores> {
  const { heads, dim } = INDEX;
  const { capacity } = reader.p;
  const both = await knownReference(scope, `index ${sequence}`, async () => {
    const [floats, weights, codes, scales] = await Promise.all([
      reader.f32("index_queries", sequence * heads * dim, heads * dim),
      reader.f32("index_weights", sequence * heads, heads),
      reader.i8("index_codes", sequence * capacity * dim, length * dim),
      reader.f32("index_scales", sequence * capacity, length),
    ]);
    const queries = Array.from(
      { length: heads },
      (_, head) => byteRowReference(floats.subarray(head * dim, (head + 1) * dim)),
    );
    const { scores, magnitudes } = indexReference(queries, weights, codes, scales, length);
    return Float64Array.from([...scores, ...magnitudes]);
  });
  return {
    scores: both.slice(0, length) as Float64Array<ArrayBuffer>,
    magnitudes: both.slice(length) as Float64Array<ArrayBuffer>,
  };
}

/** Verifies the row that a step appends to the index: exactly. */
async function verifyIndexRow(
  tally: ErrorTally,
  reader: BufferReader,
  { sequence, length }: ListRef,
): Promise<void> {
  if (length === 0) return;
  const { dim } = INDEX;
  const row = sequence * reader.p.capacity + length - 1;
  const [floats, bytes, scale] = await Promise.all([
    reader.f32("index_keys", sequence * dim, dim),
    reader.i8("index_codes", row * dim, dim),
    reader.f32("index_scales", row, 1),
  ]);
  const want = byteRowReference(floats);
  tally.exact("index_codes", [sequence, length - 1], bytes, want.bytes);
  tally.exact("index_scales", [sequence, length - 1], scale, [want.scale]);
}

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
export const verifyScores: ListVerifier = async (tally, reader, ref, hasBuffer, scope) => {
  const definition = definitionOf(hasBuffer);
  await definition.verifyKept?.(tally, reader, ref);
  const [got, want] = await Promise.all([
    scoresRead(definition, reader, ref),
    definition.scoresOf(reader, ref, scope),
  ]);
  for (let token = 0; token < ref.length; token++) {
    if (isRounded(got[token], want, token)) continue;
    const index = [ref.sequence, ref.head, token];
    return tally.fail("scores", index, got[token], want.scores[token]);
  }
};

/** The problem whose selection takes no token beside the windows. */
function windowsAlone(p: Problem): Problem {
  return { ...p, topK: { count: 0 } };
}

/** Verifies the output of a sequence without tokens. */
export async function verifyZeros(
  tally: ErrorTally,
  reader: BufferReader,
  { sequence, queryRows }: ListRef,
): Promise<void> {
  await Promise.all(queryRows.map(async (row) => {
    const out = await reader.headRow("out", row);
    tally.exact("out of no tokens", [sequence, row % reader.p.qHeads], out, out.map(() => 0));
  }));
}

/**
 * Verifies a step without codes: its scores, and its output from the tokens that these very scores
 * select. So each token taken has an exact score of at least the k-th largest, less the rounding of
 * the two. A step without scores attends the windows alone.
 */
export const verifyRivalStep: ListVerifier = async (tally, reader, ref, hasBuffer, scope) => {
  const { p } = reader;
  const definition = hasBuffer("scores") ? definitionOf(hasBuffer) : undefined;
  await verifyLabelAppend(tally, reader, ref, hasBuffer, scope);
  await verifyNewestPqCodes(tally, reader, ref, hasBuffer, scope);
  if (definition) await verifyScores(tally, reader, ref, hasBuffer, scope);
  const tokens = selectScoresReference(
    definition ? await scoresRead(definition, reader, ref) : [],
    windowsOf(definition ? ownProblem(definition, reader) : windowsAlone(p), ref.length),
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
