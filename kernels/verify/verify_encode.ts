/** Verifies codes. A bit may differ from the reference only if f32 rounding can flip it. */
import {
  encodeErrorBound,
  encodeReference,
  magnitudeOf,
  magnitudeUnits,
  packBits,
} from "../encode/reference.ts";
import type { BufferReader } from "./buffer_reader.ts";
import type { ListRef } from "./list_ref.ts";
import type { ErrorTally, ListVerifier } from "./error_tally.ts";
import {
  binsOf,
  codeWords,
  isRotated,
  planesOf,
  queryWords,
  rotationSeedOf,
} from "../core/problem/derived.ts";
import { factorByte, factorValue, keyFactor, rotate } from "../encode/rotation.ts";
import { packScale, scaleOf, unpackScale } from "../score/bins.ts";
import { encodedTokens } from "./verified_tokens.ts";

/** Compares one code with the code of `row` under `map`. */
function verifyCode(
  tally: ErrorTally,
  what: string,
  index: readonly number[],
  got: Uint32Array,
  { values: pre, bounds }: Outputs,
): void {
  const want = packBits(pre);
  for (let word = 0; word < want.length; word++) {
    if (got[word] === want[word]) continue;
    const bound = bounds();
    for (let j = word * 32; j < word * 32 + 32; j++) {
      const differs = ((got[word] ^ want[word]) >>> (j & 31)) & 1;
      if (differs && !(Math.abs(pre[j]) <= bound[j])) {
        const detail = `${what}, bit ${j} of pre-activation ${pre[j].toExponential(3)}`;
        tally.fail(detail, [...index, word], got[word], want[word]);
        return;
      }
    }
  }
}

/** The outputs that make a code, in f64, and how far f32 arithmetic may be off. */
interface Outputs {
  readonly values: Float64Array;
  /** Costs as much as the values, so it is computed only where it is needed. */
  bounds(): Float64Array;
  /** How much longer the vector is than what is left of it without the mean (default 1). */
  readonly cancellation?: number;
}

/** Outputs of a vector under the map of its code head, or under the rotation. */
type Encoder = (row: ArrayLike<number>) => Outputs;

/** The encoder of queries or keys of a list. */
async function encoderOf(
  reader: BufferReader,
  ref: ListRef,
  name: "query_map" | "key_map",
): Promise<Encoder> {
  const { p } = reader;
  const { codeHead } = ref;
  if (!isRotated(p)) {
    const map = await reader.map(name, codeHead);
    return (row) => ({
      values: encodeReference(row, map),
      bounds: () => encodeErrorBound(row, map),
    });
  }
  const mean = name === "key_map" ? await reader.meanKey(ref) : null;
  return (row) => {
    const centred = Array.from(row, (element, d) => element - (mean?.[d] ?? 0));
    const values = rotate(centred, p.bits, rotationSeedOf(p));
    // A difference may be off by as much as the terms that cancel.
    const norm = Math.hypot(...Array.from(row), ...(mean ?? []));
    const cancellation = norm / Math.max(Math.hypot(...centred), Number.MIN_VALUE);
    return { values, cancellation, bounds: () => values.map(() => ROTATION_ERROR * norm) };
  };
}

/**
 * Error of an output of the rotation over the length of the row. The sums of a transform that lead
 * to an output deviate by at most sqrt(2) roundings of that length, and 8 deviations are allowed.
 */
const ROTATION_ERROR = 12 * 2 ** -24;

/** Error of tanh that WGSL allows. */
const TANH_ERROR = 1e-5;

/** Verifies the magnitude planes of a query code: each may round to a neighbour at a boundary. */
function verifyPlanes(
  tally: ErrorTally,
  index: readonly number[],
  planeWords: Uint32Array,
  planes: number,
  { values, bounds }: Outputs,
  squashes: boolean,
): void {
  const outputs = squashes ? values.map(Math.tanh) : values;
  const units = magnitudeUnits(outputs, planes);
  const words = planeWords.length / planes;
  const errors = bounds().map((each) => each + (squashes ? TANH_ERROR : 0));
  const norm = Math.hypot(...outputs);
  // An error of the outputs moves each of them, and by the norm the unit of all.
  const relative = Math.hypot(...errors) / norm + 1e-6;
  for (let j = 0; j < units.length; j++) {
    const got = magnitudeIn(planeWords, words, j);
    const unit = Math.abs(outputs[j]) > 0 ? units[j] / Math.abs(outputs[j]) : 0;
    const slack = errors[j] * unit + units[j] * relative;
    const least = magnitudeOf(Math.max(0, units[j] - slack), planes);
    const most = magnitudeOf(units[j] + slack, planes);
    if (got < least || got > most) {
      const detail = `query_codes, magnitude ${j} of ${units[j].toFixed(4)} steps`;
      tally.fail(detail, [...index, j], got, magnitudeOf(units[j], planes));
      return;
    }
  }
}

/** The magnitude of output j in the planes of a query code. */
function magnitudeIn(planeWords: Uint32Array, words: number, j: number): number {
  let magnitude = 0;
  for (let plane = 0; plane * words < planeWords.length; plane++) {
    magnitude += ((planeWords[plane * words + (j >>> 5)] >>> (j & 31)) & 1) * 2 ** plane;
  }
  return magnitude;
}

/** Verifies the scale of a rotated query code: it must fit the code's magnitudes and the factors. */
async function verifyScale(
  tally: ErrorTally,
  reader: BufferReader,
  ref: ListRef,
  index: readonly number[],
  code: Uint32Array,
): Promise<void> {
  const { p } = reader;
  const words = codeWords(p);
  const planeWords = code.subarray(words, code.length - 1);
  const magnitudes = Array.from(
    { length: p.bits },
    (_, j) => planesOf(p) === 0 ? 1 : magnitudeIn(planeWords, words, j),
  );
  const cached = ref.length - 1;
  const squares = (await reader.factorSums(ref))[cached % 2];
  const rms = cached > 0 ? Math.sqrt(squares / cached) : 0;
  const want = scaleOf(magnitudes, rms, binsOf(p));
  const word = code[code.length - 1];
  const got = unpackScale(word);
  // A reach at a power of two may round to either shift.
  const steps = 2 ** (got.shift - want.shift);
  const expected = want.multiplier * steps;
  const isClose = Math.abs(got.multiplier - expected) <= 1.5 * Math.max(1, steps) + 1e-5 * expected;
  if (got.total !== want.total || !isClose || Math.abs(got.shift - want.shift) > 1) {
    tally.fail("query_codes, scale", [...index, code.length - 1], word, packScale(want));
  }
}

/** Verifies the codes of a list's query heads. */
export async function verifyQueryCodes(
  tally: ErrorTally,
  reader: BufferReader,
  ref: ListRef,
  buffer = "query_codes",
): Promise<void> {
  const { p } = reader;
  const planes = planesOf(p);
  const [encode, codes, ...queries] = await Promise.all([
    encoderOf(reader, ref, "query_map"),
    reader.queryCodes(ref, buffer),
    ...ref.queryRows.map((row) => reader.headRow("q", row)),
  ]);
  for (const [i, query] of queries.entries()) {
    const index = [ref.sequence, ref.queryRows[i] % p.qHeads];
    const code = codes.subarray(i * queryWords(p), (i + 1) * queryWords(p));
    const signs = code.subarray(0, codeWords(p));
    const outputs = encode(query);
    verifyCode(tally, "query_codes", index, signs, outputs);
    const planeWords = code.subarray(signs.length, (1 + planes) * signs.length);
    if (planes > 0) verifyPlanes(tally, index, planeWords, planes, outputs, !isRotated(p));
    if (isRotated(p)) await verifyScale(tally, reader, ref, index, code);
  }
}

/** Verifies the codes of some of a list's tokens, in ascending order. */
export async function verifyKeyCodes(
  tally: ErrorTally,
  reader: BufferReader,
  ref: ListRef,
  tokens: readonly number[],
): Promise<void> {
  const words = codeWords(reader.p);
  const [start] = tokens;
  const { sequence, codeHead, length } = ref;
  const [encode, codes, keys, factors] = await Promise.all([
    encoderOf(reader, ref, "key_map"),
    reader.codes(ref, start, length - start),
    reader.cacheRows("keys", ref, start, length),
    isRotated(reader.p) ? reader.factors(ref, start, length - start) : null,
  ]);
  for (const token of tokens) {
    const offset = (token - start) * words;
    const code = codes.subarray(offset, offset + words);
    const index = [sequence, codeHead, token];
    const outputs = encode(keys(token));
    verifyCode(tally, "codes", index, code, outputs);
    if (factors) verifyFactor(tally, index, factors[token - start], outputs);
  }
}

/** Verifies the code of the newest key, and its factor. */
export const verifyAppend: ListVerifier = async (tally, reader, ref) => {
  await verifyKeyCodes(tally, reader, ref, [ref.length - 1]);
  if (isRotated(reader.p)) await verifyAppendedSum(tally, reader, ref);
};

/** Verifies codes of a prompt, and factors. */
export const verifyPrompt: ListVerifier = async (tally, reader, ref, _hasBuffer, scope) => {
  await verifyKeyCodes(tally, reader, ref, encodedTokens(ref.length, ref, scope));
  if (isRotated(reader.p)) await verifyPromptSums(tally, reader, ref);
  await verifyMeanKey(tally, reader, ref);
};

/** Error of an element of a mean key in f32, over the mean of its magnitudes. */
const MEAN_ERROR = 1e-5;

/** Verifies the mean key of a prompt, if keys are centred. */
async function verifyMeanKey(
  tally: ErrorTally,
  reader: BufferReader,
  ref: ListRef,
): Promise<void> {
  const mean = await reader.meanKey(ref);
  if (mean === null) return;
  const { sequence, codeHead, length } = ref;
  const rowOf = await reader.cacheRows("keys", ref, 0, length);
  const sums = new Float64Array(mean.length);
  const magnitudes = new Float64Array(mean.length);
  for (let token = 0; token < length; token++) {
    const row = rowOf(token);
    for (let d = 0; d < mean.length; d++) {
      sums[d] += row[d];
      magnitudes[d] += Math.abs(row[d]);
    }
  }
  for (let d = 0; d < mean.length; d++) {
    const want = sums[d] / length;
    if (Math.abs(mean[d] - want) <= MEAN_ERROR * magnitudes[d] / length) continue;
    tally.fail("key_stats, mean key", [sequence, codeHead, d], mean[d], want);
    return;
  }
}

/** Error of a factor in f32, relative. */
const FACTOR_ERROR = 1e-5;

/** Verifies the byte of a factor, which may round to either side of a boundary. */
function verifyFactor(
  tally: ErrorTally,
  index: readonly number[],
  byte: number,
  { values, cancellation = 1 }: Outputs,
): void {
  const factor = keyFactor(values);
  const error = FACTOR_ERROR * cancellation;
  const least = factorByte(factor * Math.max(0, 1 - error));
  const most = factorByte(factor * (1 + error));
  if (byte < least || byte > most) tally.fail("factors", index, byte, factorByte(factor));
}

/** Error of a sum of squared factor values in f32, relative. */
const SUM_ERROR = 1e-5;

/**
 * Verifies the sum of squared factor values that a step leaves: that of the tokens before the newest
 * plus its own.
 */
export async function verifyAppendedSum(
  tally: ErrorTally,
  reader: BufferReader,
  ref: ListRef,
): Promise<void> {
  const cached = ref.length - 1;
  const [sums, [byte]] = await Promise.all([
    reader.factorSums(ref),
    reader.factors(ref, cached, 1),
  ]);
  const before = cached > 0 ? sums[cached % 2] : 0;
  checkSum(tally, ref, sums[ref.length % 2], before + factorValue(byte) ** 2);
}

/** Verifies both sums of squared factor values that a prompt's encoder makes. */
async function verifyPromptSums(
  tally: ErrorTally,
  reader: BufferReader,
  ref: ListRef,
): Promise<void> {
  const { length } = ref;
  const [sums, factors] = await Promise.all([
    reader.factorSums(ref),
    reader.factors(ref, 0, length),
  ]);
  let before = 0;
  for (const byte of factors.subarray(0, length - 1)) before += factorValue(byte) ** 2;
  checkSum(tally, ref, sums[(length - 1) % 2], before);
  checkSum(tally, ref, sums[length % 2], before + factorValue(factors[length - 1]) ** 2);
}

function checkSum(tally: ErrorTally, ref: ListRef, got: number, want: number): void {
  if (Math.abs(got - want) <= SUM_ERROR * want) return;
  tally.fail("key_stats", [ref.sequence, ref.codeHead], got, want);
}
