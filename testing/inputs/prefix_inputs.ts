/** Inputs of sequences that share a prefix, whose rows the caches hold once. */
import { cacheRows } from "../../kernels/core/problem/cache_layout.ts";
import { codeHeads, codeWords, kvBytes, prefixOf } from "../../kernels/core/problem/derived.ts";
import type { Problem } from "../../kernels/core/problem/problem.ts";

/** Numbers of a cache with a row for each token of each sequence. */
interface Numbers {
  readonly length: number;
  copyWithin(target: number, start: number, end?: number): unknown;
}

/** Gives every sequence the prefix of the first; `rows` is [B, heads, capacity, row]. */
export function sharePrefix(p: Problem, heads: number, rows: Numbers): void {
  const row = rows.length / (p.batch * heads * p.capacity);
  const prefix = prefixOf(p) * row;
  for (let i = heads; i < p.batch * heads; i++) {
    const from = i % heads * p.capacity * row;
    rows.copyWithin(i * p.capacity * row, from, from + prefix);
  }
}

/** The inputs as layout.ts has them: the prefix once, then the own rows of each sequence. */
export function packPrefix<T extends ArrayBufferView<ArrayBuffer>>(
  p: Problem,
  inputs: Readonly<Record<string, T | Uint8Array<ArrayBuffer>>>,
): Record<string, T | Uint8Array<ArrayBuffer>> {
  const kvRow = p.headDim * kvBytes(p.dtype);
  const packed = { ...inputs };
  for (
    const [name, heads, row] of [
      ["keys", p.kvHeads, kvRow],
      ["values", p.kvHeads, kvRow],
      ["codes", codeHeads(p), 4 * codeWords(p)],
      ["factors", codeHeads(p), 1],
    ] as const
  ) {
    const input = inputs[name];
    if (input) packed[name] = packRows(p, heads, row, input);
  }
  return packed;
}

function packRows(
  p: Problem,
  heads: number,
  row: number,
  { buffer, byteOffset, byteLength }: ArrayBufferView<ArrayBuffer>,
): Uint8Array<ArrayBuffer> {
  const all = new Uint8Array(buffer, byteOffset, byteLength);
  const made = new Uint8Array(heads * cacheRows(p) * row);
  const prefix = prefixOf(p) * row;
  const tokens = p.capacity * row;
  let at = 0;
  const append = (from: number, to: number) => {
    made.set(all.subarray(from, to), at);
    at += to - from;
  };
  for (let head = 0; head < heads; head++) append(head * tokens, head * tokens + prefix);
  for (let i = 0; i < p.batch * heads; i++) append(i * tokens + prefix, (i + 1) * tokens);
  return made;
}
