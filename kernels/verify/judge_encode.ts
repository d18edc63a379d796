/** Judges codes: a bit may differ from the reference only where f32 arithmetic may flip it. */
import { encodeErrorBound, encodeReference, type MapLayer, packBits } from "../encode/reference.ts";
import type { BufferReader, ListPlace } from "./judge_read.ts";
import type { Tally } from "./judge_tally.ts";
import { codeWords } from "../core/problem.ts";

/** Compares one code with the code of `row` under `map`. */
function judgeCode(
  tally: Tally,
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
    // The bound costs as much as the code, so it is only made where a bit differs.
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

/** Judges the codes of a list's query heads. */
export async function judgeQueryCodes(
  tally: Tally,
  reader: BufferReader,
  place: ListPlace,
  buffer = "query_codes",
): Promise<void> {
  const words = codeWords(reader.p);
  const [map, codes, ...queries] = await Promise.all([
    reader.map("query_map", place.head),
    reader.queryCodes(place, buffer),
    ...place.queryRows.map((row) => reader.headRow("q", row)),
  ]);
  queries.forEach((query, i) => {
    const index = [place.sequence, place.queryRows[i] % reader.p.qHeads];
    const code = codes.subarray(i * words, (i + 1) * words);
    judgeCode(tally, "query_codes", index, code, query, map);
  });
}

/** Judges the codes of tokens `start` to the length of a list, every `stride`-th and the last. */
export async function judgeKeyCodes(
  tally: Tally,
  reader: BufferReader,
  place: ListPlace,
  start: number,
  stride = 1,
): Promise<void> {
  const words = codeWords(reader.p);
  const { sequence, head, length } = place;
  const [map, codes, keys] = await Promise.all([
    reader.map("key_map", head),
    reader.codes(place, start, length - start),
    reader.cacheRows("keys", place, start, length),
  ]);
  for (let token = start; token < length; token++) {
    if ((token - start) % stride !== 0 && token !== length - 1) continue;
    const at = (token - start) * words;
    const code = codes.subarray(at, at + words);
    judgeCode(tally, "codes", [sequence, head, token], code, keys(token), map);
  }
}
