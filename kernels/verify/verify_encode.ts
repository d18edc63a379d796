/** Verifies codes. A bit may differ from the reference only if f32 rounding can flip it. */
import {
  encodeErrorBound,
  encodeReference,
  magnitudeOf,
  magnitudeUnits,
  type MapLayer,
  packBits,
} from "../encode/reference.ts";
import type { BufferReader, ListRef } from "./buffer_reader.ts";
import type { ErrorTally } from "./error_tally.ts";
import { codeWords, planesOf, queryWords } from "../core/problem.ts";

/** Compares one code with the code of `row` under `map`. */
function verifyCode(
  tally: ErrorTally,
  what: string,
  index: readonly number[],
  got: Uint32Array,
  row: ArrayLike<number>,
  map: readonly MapLayer[],
): void {
  const pre = encodeReference(row, map);
  const want = packBits(pre);
  for (let word = 0; word < want.length; word++) {
    if (got[word] === want[word]) continue;
    // The bound costs as much as the code, so it is computed only if a bit differs.
    const bound = encodeErrorBound(row, map);
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

/** Error of tanh that WGSL allows. */
const TANH_ERROR = 1e-5;

/** Verifies the magnitude planes of a query code: each may round to a neighbour at a boundary. */
function verifyPlanes(
  tally: ErrorTally,
  index: readonly number[],
  planeWords: Uint32Array,
  planes: number,
  row: ArrayLike<number>,
  map: readonly MapLayer[],
): void {
  const pre = encodeReference(row, map);
  const bound = encodeErrorBound(row, map);
  const outputs = pre.map(Math.tanh);
  const units = magnitudeUnits(outputs, planes);
  const words = planeWords.length / planes;
  const errors = bound.map((each) => each + TANH_ERROR);
  const norm = Math.hypot(...outputs);
  // An error of the outputs moves each of them, and by the norm the unit of all.
  const relative = Math.hypot(...errors) / norm + 1e-6;
  for (let j = 0; j < units.length; j++) {
    let got = 0;
    for (let plane = 0; plane < planes; plane++) {
      got += ((planeWords[plane * words + (j >>> 5)] >>> (j & 31)) & 1) * 2 ** plane;
    }
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

/** Verifies the codes of a list's query heads. */
export async function verifyQueryCodes(
  tally: ErrorTally,
  reader: BufferReader,
  ref: ListRef,
  buffer = "query_codes",
): Promise<void> {
  const { p } = reader;
  const planes = planesOf(p);
  const [map, codes, ...queries] = await Promise.all([
    reader.map("query_map", ref.codeHead),
    reader.queryCodes(ref, buffer),
    ...ref.queryRows.map((row) => reader.headRow("q", row)),
  ]);
  queries.forEach((query, i) => {
    const index = [ref.sequence, ref.queryRows[i] % p.qHeads];
    const code = codes.subarray(i * queryWords(p), (i + 1) * queryWords(p));
    const signs = code.subarray(0, codeWords(p));
    verifyCode(tally, "query_codes", index, signs, query, map);
    if (planes > 0) verifyPlanes(tally, index, code.subarray(signs.length), planes, query, map);
  });
}

/** Verifies the codes of a list's tokens from `start` on: every `stride`-th one and the last. */
export async function verifyKeyCodes(
  tally: ErrorTally,
  reader: BufferReader,
  ref: ListRef,
  start: number,
  stride = 1,
): Promise<void> {
  const words = codeWords(reader.p);
  const { sequence, codeHead, length } = ref;
  const [map, codes, keys] = await Promise.all([
    reader.map("key_map", codeHead),
    reader.codes(ref, start, length - start),
    reader.cacheRows("keys", ref, start, length),
  ]);
  for (let token = start; token < length; token++) {
    if ((token - start) % stride !== 0 && token !== length - 1) continue;
    const offset = (token - start) * words;
    const code = codes.subarray(offset, offset + words);
    verifyCode(tally, "codes", [sequence, codeHead, token], code, keys(token), map);
  }
}
