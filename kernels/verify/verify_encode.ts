/** Verifies codes. A bit may differ from the reference only if f32 rounding can flip it. */
import { encodeErrorBound, encodeReference, type MapLayer, packBits } from "../encode/reference.ts";
import type { BufferReader, ListRef } from "./buffer_reader.ts";
import type { ErrorTally } from "./error_tally.ts";
import { codeWords } from "../core/problem.ts";

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

/** Verifies the codes of a list's query heads. */
export async function verifyQueryCodes(
  tally: ErrorTally,
  reader: BufferReader,
  ref: ListRef,
  buffer = "query_codes",
): Promise<void> {
  const words = codeWords(reader.p);
  const [map, codes, ...queries] = await Promise.all([
    reader.map("query_map", ref.head),
    reader.queryCodes(ref, buffer),
    ...ref.queryRows.map((row) => reader.headRow("q", row)),
  ]);
  queries.forEach((query, i) => {
    const index = [ref.sequence, ref.queryRows[i] % reader.p.qHeads];
    const code = codes.subarray(i * words, (i + 1) * words);
    verifyCode(tally, "query_codes", index, code, query, map);
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
  const { sequence, head, length } = ref;
  const [map, codes, keys] = await Promise.all([
    reader.map("key_map", head),
    reader.codes(ref, start, length - start),
    reader.cacheRows("keys", ref, start, length),
  ]);
  for (let token = start; token < length; token++) {
    if ((token - start) % stride !== 0 && token !== length - 1) continue;
    const offset = (token - start) * words;
    const code = codes.subarray(offset, offset + words);
    verifyCode(tally, "codes", [sequence, head, token], code, keys(token), map);
  }
}
