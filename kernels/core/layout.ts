/**
 * Names, layouts and sizes of the buffers that stages pass to each other. All buffers are
 * little-endian; rows are contiguous. Of a problem in pieces (pieces.ts) each piece has its part of
 * these, which begins at a multiple of 256 bytes.
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
 * | `branch_keys`, `branch_values` | dtype [B, Hkv, capacity + capacity / 16 + 512, D], of values valueDim instead of D, the three caches of NSA for each KV head: the tokens, which blocks are taken of; a compressed row for every 16 tokens; a ring of the last 512 tokens, token t at t % 512 |
 * | `raw_keys`, `raw_values` | dtype [B, Hkv, 32, D], the last tokens that NSA compresses, token t at t % 32 |
 * | `compress_map` | dtype [Hkv, 2, D, 32, D], NSA's maps of keys and of values: of each element of a row, by token and element |
 * | `compress_positions` | dtype [Hkv, 2, 32, D], what is added to keys and values before |
 * | `gates` | f32 [B, Hq, 3], of NSA's branches: compressed, blocks, window |
 * | `pool_keys`, `pool_values` | dtype [B * capacity, Hkv, D], tokens of all sequences in any order |
 * | `token_index` | u32 [B, capacity], the pool index of each token; undefined past the length |
 * | `query_map`, `key_map` | [code heads][layer]: weights [in, out], then bias [out], f16 or f32 |
 * | `query_codes` | u32 [B, Hq, 1 + planes, b/32]: signs, then magnitude planes from the lowest up; bit j of each is bit j%32 of word j/32. A rotated code has a word more, the scale of score/bins.ts |
 * | `codes` | u32 [B, code heads, capacity, b/32] |
 * | `factors` | u8 [B, KV heads, capacity], of rotated codes, see encode/rotation.ts |
 * | `key_stats` | f32 [B, KV heads, 2], the sum of the squared factor values of the first n tokens at n % 2; of centred keys [B, KV heads, 2 + head dim], the prompt's mean key behind the sums |
 * | `scores` | f32 [B, list heads, capacity], larger is better |
 * | `page_bounds` | dtype [B, Hkv, page capacity, 2, D], the least and the largest element of each channel in a page of 16 tokens, see pages.ts |
 * | `page_scores` | f32 [B, Hq, page capacity], larger is better; none of the newest page |
 * | `selected_pages` | u32 [B, Hq, page list capacity], page indices, the newest page last |
 * | `selected_page_tokens` | u32 [B, Hq], tokens in the list's pages |
 * | `channels`, `head_channels` | u32 [label heads, 16], the channels of labels; label heads are KV heads, and query heads of `head_channels` |
 * | `labels`, `head_labels` | f16 [B, label heads, capacity, 16], elements of keys, see encode/labels.ts |
 * | `packed_labels` | u32 [B, KV heads], of each: codes of 4 bits [capacity, 2], then scales of two f16 [capacity] |
 * | `index_queries` | f32 [B, 64, 128], rows of the index heads of score/index.wgsl |
 * | `index_weights` | f32 [B, 64], their weights, with every constant factor |
 * | `index_keys` | f32 [B, 128], the rows of the newest tokens |
 * | `index_codes` | i8 [B, capacity, 128], the rows of all keys over their scales |
 * | `index_scales` | f32 [B, capacity], powers of two |
 * | `log_gates` | f32 [B * Hq rounded up to 4], uniform: at most 0, of the newest tokens; see attend/decayed.wgsl |
 * | `decays` | f32 [B, Hq, capacity], from each token to the end of its block, or to the newest token |
 * | `block_decays` | f32 [B, Hq, 2 + blocks]: the first token to attend and the threshold, if a step prunes; then the decay over each block |
 * | `decay_state` | f32 [B, Hq, 2, block + 2], of the first n tokens at n % 2: the decay of the newest token's block, those from its tokens, the largest norm of a key |
 * | `hidden` | f32 [B, Hq * D], the layer input of the newest tokens; see encode/route.wgsl |
 * | `router` | f16 [Hq, Hq * D] |
 * | `token_rows` | dtype [B, Hq, 2, D], K and V of the newest tokens for heads with their own |
 * | `slot_keys`, `slot_values` | dtype [B, rows, D]: capacity rows of each dense head, then the slots of each sparse head |
 * | `slot_tokens` | u32 [B, sparse heads, slots, 2], bits of r as f32, token |
 * | `routes` | vec2 f32 [B, Hq], r and the tokens to attend, 0 for a head that does not take the token |
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
import { LABEL_CHANNELS } from "./problem/labels.ts";
import { pageCapacity, pageListCapacity } from "./problem/pages.ts";
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
  type Problem,
  queryWords,
  valueDimOf,
} from "./problem/problem.ts";

/** The value in `sink_logits` that adds nothing; finite, since WGSL does not define infinities. */
export const NO_SINK_LOGIT: number = -1e30;

/** The index of score/index.wgsl: its heads, and the elements of a row. */
export const INDEX = { heads: 64, dim: 128 } as const;

/** Bytes of every buffer whose size depends only on the problem. */
export function bufferBytes(p: Problem): Readonly<Record<string, number>> {
  const rows = cacheRows(p);
  const cache = rows * p.kvHeads * p.headDim * kvBytes(p.dtype);
  const placed = hasPlainCache(p) ? cache : kvElements(p) * kvBytes(p.dtype);
  const raw = 32 * p.batch * p.kvHeads * p.headDim * kvBytes(p.dtype);
  const lists = p.batch * listHeads(p);
  const map = codeHeads(p) * mapNumbers(p) * (p.map.dtype === "f16" ? 2 : 4);
  const prompt = 4 * p.batch * p.capacity * p.qHeads * p.headDim;
  return {
    lengths: 4 * p.batch * (1 + tablePages(p)),
    first_tokens: 4 * p.batch,
    q: floatBytes(p.qDtype) * p.batch * p.qHeads * p.headDim,
    keys: placed,
    values: placed,
    branch_keys: cache / p.capacity * branchRows(p),
    branch_values: cache / p.capacity / p.headDim * valueDimOf(p) * branchRows(p),
    raw_keys: raw,
    raw_values: raw,
    compress_map: 2 * raw / p.batch * p.headDim,
    compress_positions: 2 * raw / p.batch,
    gates: 12 * p.batch * p.qHeads,
    pool_keys: cache,
    pool_values: cache,
    token_index: 4 * p.batch * p.capacity,
    query_map: map,
    key_map: map,
    query_codes: 4 * p.batch * p.qHeads * queryWords(p),
    codes: 4 * codeHeads(p) * rows * codeWords(p),
    factors: codeHeads(p) * rows,
    key_stats: 4 * p.batch * codeHeads(p) * headStats(p),
    scores: 4 * lists * p.capacity,
    page_bounds: 2 * p.batch * p.kvHeads * pageCapacity(p) * p.headDim * kvBytes(p.dtype),
    page_scores: 4 * p.batch * p.qHeads * pageCapacity(p),
    selected_pages: 4 * p.batch * p.qHeads * pageListCapacity(p),
    selected_page_tokens: 4 * p.batch * p.qHeads,
    channels: 4 * LABEL_CHANNELS * p.kvHeads,
    head_channels: 4 * LABEL_CHANNELS * p.qHeads,
    labels: 2 * LABEL_CHANNELS * p.batch * p.kvHeads * p.capacity,
    head_labels: 2 * LABEL_CHANNELS * p.batch * p.qHeads * p.capacity,
    packed_labels: (LABEL_CHANNELS / 2 + 4) * p.batch * p.kvHeads * p.capacity,
    index_queries: 4 * p.batch * INDEX.heads * INDEX.dim,
    index_weights: 4 * p.batch * INDEX.heads,
    index_keys: 4 * p.batch * INDEX.dim,
    index_codes: p.batch * p.capacity * INDEX.dim,
    index_scales: 4 * p.batch * p.capacity,
    distances: lists * p.capacity * distanceBytes(p),
    selected: 4 * lists * listCapacity(p),
    selected_counts: 4 * lists,
    sink_logits: 16 * Math.ceil(p.qHeads / 4),
    out: floatBytes(p.outDtype) * p.batch * p.qHeads * valueDimOf(p),
    prompt_q: prompt,
    prompt_out: prompt,
  };
}

/** Rows of a KV head in `branch_keys`. */
export function branchRows({ capacity }: Pick<Problem, "capacity">): number {
  return capacity + capacity / 16 + 512;
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
  const bytes = bufferBytes(p);
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
