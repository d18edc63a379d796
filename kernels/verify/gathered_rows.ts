/**
 * Reads rows of K and V that lie apart: in caches with strides or pages of their own, and in a pool
 * of tokens. Such a buffer is read in pieces, once for all KV heads.
 */
import { kvRowStart } from "../core/problem/cache_layout.ts";
import { kvBytes } from "../core/problem/derived.ts";
import type { Problem } from "../core/problem/problem.ts";
import type { ReadBytes } from "../core/variant.ts";

/** Bytes of a buffer per read. */
const CACHE_READ_BYTES = 2 ** 26;

/** Tokens `start` to `end` of a sequence in a cache, and its page table if it has one. */
export interface PlacedTokens {
  readonly name: string;
  readonly sequence: number;
  readonly start: number;
  readonly end: number;
  readonly table: Uint32Array | undefined;
}

/**
 * A sequence's rows of a cache with strides or pages of its own, [Hkv, end - start, D]. Rows of all
 * KV heads may lie side by side in the buffer.
 */
export async function placedHeads(
  p: Problem,
  readBytes: ReadBytes,
  { name, sequence, start, end, table }: PlacedTokens,
): Promise<Uint8Array<ArrayBuffer>> {
  const { kvHeads, headDim, dtype } = p;
  const rowBytes = headDim * kvBytes(dtype);
  const tokens = end - start;
  const firsts = Float64Array.from({ length: kvHeads * tokens }, (_, row) => {
    const [head, token] = [Math.floor(row / tokens), start + row % tokens];
    return kvRowStart(p, { sequence, head, token }, table) * kvBytes(dtype);
  });
  const pieces = Map.groupBy(firsts.keys(), (row) => Math.floor(firsts[row] / CACHE_READ_BYTES));
  const bytes = new Uint8Array(kvHeads * tokens * rowBytes);
  for (const rows of pieces.values()) {
    const first = rows.reduce((least, row) => Math.min(least, firsts[row]), Infinity);
    const last = rows.reduce((most, row) => Math.max(most, firsts[row]), 0);
    const piece = await readBytes(name, first, last + rowBytes - first);
    for (const row of rows) {
      const from = firsts[row] - first;
      bytes.set(piece.subarray(from, from + rowBytes), row * rowBytes);
    }
  }
  return bytes;
}

/**
 * A sequence's tokens in order, [tokens, Hkv, D], gathered in one pass over the pool.
 *
 * @param index The place in the pool of each token.
 */
export async function pooledTokens(
  p: Problem,
  readBytes: ReadBytes,
  name: string,
  index: Uint32Array,
): Promise<Uint8Array<ArrayBuffer>> {
  const { batch, kvHeads, capacity, headDim, dtype } = p;
  const tokenBytes = kvHeads * headDim * kvBytes(dtype);
  const tokens = new Uint8Array(index.length * tokenBytes);
  const step = Math.max(1, Math.floor(CACHE_READ_BYTES / tokenBytes));
  for (let first = 0; first < batch * capacity; first += step) {
    const end = Math.min(first + step, batch * capacity);
    const part = await readBytes(name, first * tokenBytes, (end - first) * tokenBytes);
    index.forEach((poolToken, token) => {
      if (poolToken < first || poolToken >= end) return;
      const from = (poolToken - first) * tokenBytes;
      tokens.set(part.subarray(from, from + tokenBytes), token * tokenBytes);
    });
  }
  return tokens;
}
