/**
 * Names, layouts and sizes of the buffers that stages pass to each other. All buffers are
 * little-endian; rows are contiguous. Of a problem in pieces (pieces.ts) each piece has its part of
 * these, which begins at a multiple of 256 bytes. system_layout.ts has the buffers of other systems.
 *
 * Where sequences share a prefix of P tokens, `keys`, `values`, `codes` and `factors` hold the rows of
 * the prefix once, [heads, P], and then the own rows of every sequence, [B, heads, capacity - P]. So
 * an engine prefills the prefix once, and adds or drops a request without moving it. All other
 * buffers stay as they are: `distances` and lists count a sequence's tokens from the prefix on, and
 * `key_stats` of each sequence include the prefix.
 *
 * | name | layout |
 * |---|---|
 * | `lengths` | u32 [B], tokens of each sequence; of a paged cache followed by the page table, u32 [B, pages], the page of the pool that holds each of a sequence's pages. Entries past the length are not used |
 * | `first_tokens` | u32 [B], the token of each sequence from which on a prompt is encoded |
 * | `q`, `out` | f32 or f16 (qDtype, outDtype) [B, Hq, D]; `out` has valueDim elements of a row |
 * | `prompt_q`, `prompt_out` | f32 [B, capacity, Hq, D], the layout of a projection's output |
 * | `keys`, `values` | dtype [B, Hkv, capacity, D], or at `kvStrides`; of a paged cache the pool, dtype [pages, Hkv, page tokens, D], or at `kvStrides` |
 * | `query_map`, `key_map` | [code heads][layer]: weights [in, out], then bias [out], f16 or f32 |
 * | `query_codes` | u32 [B, Hq, 1 + planes, b/32]: signs, then magnitude planes from the lowest up; bit j of each is bit j%32 of word j/32. A rotated code has a word more, the scale of score/bins.ts |
 * | `codes` | u32 [B, code heads, capacity, b/32] |
 * | `factors` | u8 [B, KV heads, capacity], of rotated codes, see encode/rotation.ts |
 * | `key_stats` | f32 [B, KV heads, 2], the sum of the squared factor values of the first n tokens at n % 2; of centred keys [B, KV heads, 2 + head dim], the prompt's mean key behind the sums |
 * | `distances` | u8 or u16 [B, list heads, capacity] |
 * | `block_histograms` | u32 [B, list heads, blocks, max distance + 1], middle tokens of each block |
 * | `list_state` | u32, the results of a fused encode and score, in order: query codes as above, codes of the newest tokens [B, code heads, b/32] (of rotated codes each followed by its factor), then `block_histograms` (of rotated codes followed by their sums over each workgroup of the score, u32 [B, Hq, splits, bins]) or ranks |
 * | ranks | u32 [B, list heads, max distance + 1], zero between steps: sums of the rows that follow; then u16 [B, list heads, blocks, max distance + 2], entry d: middle tokens of a block at distance d or less |
 * | `selected` | u32 [B, list heads, list capacity], token indices |
 * | `selected_counts` | u32 [B, list heads] |
 * | `partial_out` | f32 [B, Hq, splits, D], softmax numerators relative to the split's maximum |
 * | `partial_stats` | vec2 f32 [B, Hq, splits]: maximum of the log2-domain logits, denominator |
 * | `hand_over` | u32 [B, lists], arrivals, zero between steps; then partials [B, lists, heads, splits, D + 4]: numerators, maximum, denominator, 0, 0; each list starts on a cache line of its own. Of `dense/split_ragged`, partials [lists, splits + B - 1, heads, D + 4], each on lines of its own |
 * | `sink_logits` | f32 [Hq rounded up to 4], uniform: extra logit in the denominator; {@linkcode NO_SINK_LOGIT} for none |
 */
import type { BufferRole, BufferSpec } from "./variant.ts";
import { cacheRows, hasPlainCache, kvElements, tablePages } from "./problem/cache_layout.ts";
import {
  centresKeys,
  codeHeads,
  codeWords,
  distanceBytes,
  floatBytes,
  isRotated,
  kvBytes,
  listCapacity,
  listHeads,
  mapNumbers,
  maxDistance,
  queryWords,
  valueDimOf,
} from "./problem/derived.ts";
import type { Problem } from "./problem/problem.ts";

/** The value in `sink_logits` that adds nothing; finite, since WGSL does not define infinities. */
export const NO_SINK_LOGIT: number = -1e30;

/** Bytes of every buffer of the suite's own steps whose size depends only on the problem. */
export function bufferBytes(p: Problem): Readonly<Record<string, number>> {
  const rows = cacheRows(p);
  const cache = rows * p.kvHeads * p.headDim * kvBytes(p.dtype);
  const placed = hasPlainCache(p) ? cache : kvElements(p) * kvBytes(p.dtype);
  const lists = p.batch * listHeads(p);
  const map = codeHeads(p) * mapNumbers(p) * (p.map.dtype === "f16" ? 2 : 4);
  const prompt = 4 * p.batch * p.capacity * p.qHeads * p.headDim;
  return {
    lengths: 4 * p.batch * (1 + tablePages(p)),
    first_tokens: 4 * p.batch,
    q: floatBytes(p.qDtype) * p.batch * p.qHeads * p.headDim,
    keys: placed,
    values: placed,
    query_map: map,
    key_map: map,
    query_codes: 4 * p.batch * p.qHeads * queryWords(p),
    codes: 4 * codeHeads(p) * rows * codeWords(p),
    factors: codeHeads(p) * rows,
    key_stats: 4 * p.batch * codeHeads(p) * headStats(p),
    distances: lists * p.capacity * distanceBytes(p),
    selected: 4 * lists * listCapacity(p),
    selected_counts: 4 * lists,
    sink_logits: 16 * Math.ceil(p.qHeads / 4),
    out: floatBytes(p.outDtype) * p.batch * p.qHeads * valueDimOf(p),
    prompt_q: prompt,
    prompt_out: prompt,
  };
}

/** Numbers of a KV head in `key_stats`. */
export function headStats(p: Problem): number {
  return centresKeys(p) ? 2 + p.headDim : 2;
}

/** Buffer specs of the named buffers, all in one role. */
export function specs(
  p: Problem,
  role: BufferRole,
  ...names: readonly string[]
): Record<string, BufferSpec> {
  return specsOf(bufferBytes(p), role, names);
}

/** Buffer specs of the named buffers, whose bytes are given, all in one role. */
export function specsOf(
  bytes: Readonly<Record<string, number>>,
  role: BufferRole,
  names: readonly string[],
): Record<string, BufferSpec> {
  return Object.fromEntries(names.map((name) => {
    const spec: BufferSpec = { bytes: bytes[name], role };
    return [name, name === "sink_logits" ? { ...spec, uniform: true } : spec];
  }));
}

/** Specs of the buffers between a split attention and its merge. */
export function partialSpecs(
  p: Problem,
  splits: number,
  role: BufferRole,
): Record<string, BufferSpec> {
  const rows = p.batch * p.qHeads * splits;
  return {
    partial_out: { bytes: rows * p.headDim * 4, role },
    partial_stats: { bytes: rows * 8, role },
  };
}

/** Spec of the histograms over blocks of `blockTokens` tokens. */
export function histogramSpec(
  p: Problem,
  blockTokens: number,
  role: BufferRole,
): Record<string, BufferSpec> {
  const rows = p.batch * listHeads(p) * Math.ceil(p.capacity / blockTokens);
  return { block_histograms: { bytes: rows * (maxDistance(p) + 1) * 4, role } };
}

/** Bytes of the codes in `list_state`, which come before the histograms or ranks. */
function stepCodeBytes(p: Problem): number {
  const keyWords = codeWords(p) + Number(isRotated(p));
  return 4 * p.batch * (p.qHeads * queryWords(p) + codeHeads(p) * keyWords);
}

/**
 * Spec of `list_state` with histograms over blocks of `blockTokens` tokens, and their sums for each
 * of `splits` workgroups of the score.
 */
export function histogramStateSpec(
  p: Problem,
  blockTokens: number,
  role: BufferRole,
  splits = 0,
): Record<string, BufferSpec> {
  const { block_histograms: { bytes } } = histogramSpec(p, blockTokens, role);
  const sums = 4 * p.batch * listHeads(p) * splits * (maxDistance(p) + 1);
  return { list_state: { bytes: stepCodeBytes(p) + bytes + sums, role } };
}

/** Spec of `list_state` with ranks over blocks of `blockTokens` tokens, and their sums per list. */
export function rankStateSpec(
  p: Problem,
  blockTokens: number,
  role: BufferRole,
): Record<string, BufferSpec> {
  const lists = p.batch * listHeads(p);
  const totals = { offset: stepCodeBytes(p), bytes: lists * (maxDistance(p) + 1) * 4 };
  const rows = lists * Math.ceil(p.capacity / blockTokens);
  const bytes = totals.offset + totals.bytes + rows * (maxDistance(p) + 2) * 2;
  return { list_state: { bytes, role, zeros: totals } };
}
