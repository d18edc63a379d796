/**
 * Verifies product-quantised keys. A code is right if no centroid is nearer by more than f32
 * rounding; of equal centroids it must name the first. The k-means is verified by its first centroids
 * and its last iteration: codes by the means before it, and the means of the keys of each code.
 */
import {
  centroidDtype,
  centroidPlace,
  CENTROIDS,
  codePlace,
  meansReference,
  nearnessReference,
  partsOfBuffers,
  PQ_PARTS,
  pqNames,
  pqScoresReference,
  startToken,
} from "../encode/pq.ts";
import { ASSIGNED, FIRST_MEANS, lastMeans } from "../encode/pq_prompt.ts";
import type { BufferReader } from "./buffer_reader.ts";
import type { ListRef } from "./list_ref.ts";
import type { ErrorTally, ListVerifier } from "./error_tally.ts";
import type { Scores } from "../score/reference.ts";
import { encodedTokens } from "./verified_tokens.ts";

/**
 * Error of the nearness of a centroid in f32, over the sum of the magnitudes that it adds up: up to
 * 128 elements in sums of fours, each with three roundings.
 */
const NEARNESS_ERROR = 4e-6;

/** The largest f32: what exceeds it may have any code, and so may an infinite key. */
const MOST_F32 = 3.4e38;

/** Verifies the codes of one key. */
function verifyKey(
  tally: ErrorTally,
  what: string,
  index: readonly number[],
  key: ArrayLike<number>,
  codes: readonly number[],
  centroids: ArrayLike<number>,
): void {
  codes.forEach((code, part) => {
    const { near, magnitudes } = nearnessReference(key, centroids, part, codes.length);
    if (magnitudes.some((each) => Number.isFinite(each) && each > MOST_F32)) return;
    const width = key.length / codes.length;
    const isInfinite = (_: unknown, i: number) => Math.abs(key[part * width + i]) === Infinity;
    if (Array.from({ length: width }).some(isInfinite)) return;
    let best = 0;
    for (let c = 1; c < CENTROIDS; c++) {
      const isFirst = !Number.isFinite(near[best]) && Number.isFinite(near[c]);
      if (near[c] > near[best] || isFirst) best = c;
    }
    const where = [...index, part];
    if (!Number.isFinite(near[best])) {
      if (code !== 0) tally.fail(`${what} of a key without a finite distance`, where, code, 0);
      return;
    }
    if (code === best) return;
    const bound = NEARNESS_ERROR * (magnitudes[best] + magnitudes[code]);
    if (!(near[best] - near[code] <= bound)) {
      tally.fail(`${what}, by ${near[best] - near[code]} farther`, where, code, best);
    } else if (isRepeated(centroids, code, part * key.length / codes.length, key.length)) {
      tally.fail(`${what}, a centroid equal to an earlier one`, where, code, best);
    }
  });

  function isRepeated(all: ArrayLike<number>, c: number, from: number, headDim: number): boolean {
    const width = headDim / codes.length;
    const equals = (other: number) => {
      for (let d = from; d < from + width; d++) {
        if (all[centroidPlace(d, other)] !== all[centroidPlace(d, c)]) return false;
      }
      return true;
    };
    return Array.from({ length: c }, (_, other) => other).some(equals);
  }
}

/** Verifies the codes of some tokens, in ascending order. */
async function verifyTokens(
  tally: ErrorTally,
  reader: BufferReader,
  ref: ListRef,
  tokens: readonly number[],
  given: { readonly what: string; readonly codes: Uint8Array; readonly centroids: Float32Array },
  parts: number,
): Promise<void> {
  const { length, sequence, kvHead } = ref;
  const rowOf = await reader.cacheRows("keys", ref, tokens[0], length);
  for (const token of tokens) {
    const codes = Array.from(
      { length: parts },
      (_, part) => given.codes[codePlace(part, token, parts, reader.p.capacity)],
    );
    const index = [sequence, kvHead, token];
    verifyKey(tally, given.what, index, rowOf(token), codes, given.centroids);
  }
}

const VERIFIED = new WeakMap<BufferReader, Set<string>>();

/** Whether this is the first call for the KV head of a list: the lists of a group share codes. */
function isFirst(reader: BufferReader, { sequence, kvHead }: ListRef): boolean {
  const known = VERIFIED.get(reader) ?? new Set();
  VERIFIED.set(reader, known);
  const key = `${sequence} ${kvHead}`;
  const first = !known.has(key);
  known.add(key);
  return first;
}

/** Verifies the product-quantised code of the newest key, if the plan has one. */
export const verifyNewestPqCodes: ListVerifier = async (tally, reader, ref, hasBuffer) => {
  const parts = partsOfBuffers(hasBuffer);
  if (parts === undefined || !isFirst(reader, ref)) return;
  const what = pqNames(parts).pq_codes;
  const [codes, centroids] = await Promise.all([
    reader.pqCodes(ref, parts),
    reader.centroids(ref, parts),
  ]);
  const newest = [ref.length - 1];
  await verifyTokens(tally, reader, ref, newest, { what, codes, centroids }, parts);
};

/** Verifies the codes of a prompt, and its centroids if they are made from it. */
export const verifyPqPrompt: ListVerifier = async (tally, reader, ref, hasBuffer, scope) => {
  const parts = partsOfBuffers(hasBuffer)!;
  if (!isFirst(reader, ref)) return;
  const tokens = encodedTokens(ref.length, ref, scope);
  const [codes, centroids] = await Promise.all([
    reader.pqCodes(ref, parts),
    reader.centroids(ref, parts),
  ]);
  const what = pqNames(parts).pq_codes;
  await verifyTokens(tally, reader, ref, tokens, { what, codes, centroids }, parts);
  if (!hasBuffer(ASSIGNED)) return;
  const names = lastMeans(reader.params);
  const elements = CENTROIDS * reader.p.headDim;
  const place = (ref.sequence * reader.p.kvHeads + ref.kvHead) * elements;
  const [assigned, before, after] = await Promise.all([
    reader.pqCodes(ref, parts, ASSIGNED),
    reader.f32(names.before, place, elements),
    reader.f32(names.after, place, elements),
  ]);
  const last = { what: ASSIGNED, codes: assigned, centroids: before };
  await verifyTokens(tally, reader, ref, tokens, last, parts);
  await verifyStart(tally, reader, ref);
  await verifyMeans(tally, reader, ref, parts, { assigned, before, after });
  verifyCentroids(tally, reader, ref, after, centroids);
};

/** Verifies that the first centroids are the keys that the seed chooses. */
async function verifyStart(
  tally: ErrorTally,
  reader: BufferReader,
  ref: ListRef,
): Promise<void> {
  const elements = CENTROIDS * reader.p.headDim;
  const head = ref.sequence * reader.p.kvHeads + ref.kvHead;
  const [rowOf, start] = await Promise.all([
    reader.cacheRows("keys", ref, 0, ref.length),
    reader.f32(FIRST_MEANS, head * elements, elements),
  ]);
  for (let c = 0; c < CENTROIDS; c++) {
    const row = rowOf(startToken(c, ref.length, reader.params.SEED));
    const got = Array.from(row, (_, d) => start[centroidPlace(d, c)]);
    const wrong = got.findIndex((each, d) => each !== row[d] && !Number.isNaN(row[d]));
    if (wrong < 0) continue;
    tally.fail("first centroids", [ref.sequence, ref.kvHead, c, wrong], got[wrong], row[wrong]);
  }
}

/** Verifies the means of the keys of each code. */
async function verifyMeans(
  tally: ErrorTally,
  reader: BufferReader,
  ref: ListRef,
  parts: number,
  made: { assigned: Uint8Array; before: Float32Array; after: Float32Array },
): Promise<void> {
  const { headDim, capacity } = reader.p;
  const shape = { tokens: ref.length, parts, capacity };
  const rowOf = await reader.cacheRows("keys", ref, 0, ref.length);
  const want = meansReference(rowOf, made.assigned, made.before, shape);
  const chunks = Math.ceil(ref.length / reader.params.CHUNK);
  for (let d = 0; d < headDim; d++) {
    const first = Math.floor(d * parts / headDim) * CENTROIDS;
    for (let c = 0; c < CENTROIDS; c++) {
      const at = centroidPlace(d, c);
      const [got, mean] = [made.after[at], want.means[at]];
      // A rounding for each addition within a chunk and between chunks, and one for the quotient.
      const additions = Math.min(want.counts[first + c], reader.params.CHUNK) + chunks + 3;
      const bound = additions * 2 ** -24 * want.magnitudes[at];
      if (Math.abs(got - mean) <= bound || Object.is(got, mean) || got === mean) continue;
      tally.fail("means", [ref.sequence, ref.kvHead, d, c], got, mean);
      return;
    }
  }
}

/** Verifies that centroids are the last means, rounded to their type in any direction. */
function verifyCentroids(
  tally: ErrorTally,
  reader: BufferReader,
  ref: ListRef,
  means: Float32Array,
  centroids: Float32Array,
): void {
  const isF16 = centroidDtype(reader.p) === 1;
  means.forEach((mean, at) => {
    const bound = isF16 ? 2 ** -10 * Math.abs(mean) + 2 ** -24 : 0;
    const got = centroids[at];
    if (Math.abs(got - mean) <= bound || Object.is(got, mean)) return;
    tally.fail("centroids", [ref.sequence, ref.kvHead, at], got, mean);
  });
}

/** Error of a table entry of 16 bits, relative, and of small ones: rounded in any direction. */
const ENTRY_ERROR = 2 ** -10;
const LEAST_ENTRY_ERROR = 2 ** -24;

/** Reads what a list's scores follow from. */
async function scoresOf(reader: BufferReader, ref: ListRef, parts: number): Promise<Scores> {
  const [q, codes, centroids] = await Promise.all([
    reader.headRow("q", ref.queryRows[0]),
    reader.pqCodes(ref, parts),
    reader.centroids(ref, parts),
  ]);
  const shape = { tokens: ref.length, parts, capacity: reader.p.capacity };
  const { scores, magnitudes, entries, excess } = pqScoresReference(q, centroids, codes, shape);
  const { params } = reader;
  if ((params.TABLE_BITS ?? params["score.TABLE_BITS"]) !== 16) return { scores, magnitudes };
  const slack = entries.map((each, token) =>
    ENTRY_ERROR * each + parts * LEAST_ENTRY_ERROR + excess[token]
  );
  return { scores, magnitudes, slack };
}

/** The definition of the scores of each number of parts, by the buffer of their codes. */
export const PQ_SCORES: Readonly<
  Record<string, (reader: BufferReader, ref: ListRef) => Promise<Scores>>
> = Object.fromEntries(
  PQ_PARTS.map((parts) => [
    pqNames(parts).pq_codes,
    (reader: BufferReader, ref: ListRef) => scoresOf(reader, ref, parts),
  ]),
);
