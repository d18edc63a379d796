/**
 * Names, layouts and sizes of the buffers of other systems, beside those of layout.ts. They stand
 * apart so that a bundle of the suite's own steps leaves them out.
 *
 * | name | layout |
 * |---|---|
 * | `branch_keys`, `branch_values` | dtype [B, Hkv, capacity + capacity / 16 + 512, D], of values valueDim instead of D, the three caches of NSA for each KV head: the tokens, which blocks are taken of; a compressed row for every 16 tokens; a ring of the last 512 tokens, token t at t % 512 |
 * | `raw_keys`, `raw_values` | dtype [B, Hkv, 32, D], the last tokens that NSA compresses, token t at t % 32 |
 * | `compress_map` | dtype [Hkv, 2, D, 32, D], NSA's maps of keys and of values: of each element of a row, by token and element |
 * | `compress_positions` | dtype [Hkv, 2, 32, D], what is added to keys and values before |
 * | `gates` | f32 [B, Hq, 3], of NSA's branches: compressed, blocks, window |
 * | `pool_keys`, `pool_values` | dtype [B * capacity, Hkv, D], tokens of all sequences in any order |
 * | `token_index` | u32 [B, capacity], the pool index of each token; undefined past the length |
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
 */
import { bufferBytes, specsOf } from "./layout.ts";
import { cacheRows } from "./problem/cache_layout.ts";
import { LABEL_CHANNELS } from "./problem/labels.ts";
import { pageCapacity, pageListCapacity } from "./problem/pages.ts";
import { kvBytes, listHeads, valueDimOf } from "./problem/derived.ts";
import type { Problem } from "./problem/problem.ts";
import type { BufferRole, BufferSpec } from "./variant.ts";

/** The index of score/index.wgsl: its heads, and the elements of a row. */
export const INDEX = { heads: 64, dim: 128 } as const;

/** Bytes of every buffer of other systems whose size depends only on the problem. */
export function systemBufferBytes(p: Problem): Readonly<Record<string, number>> {
  const cache = cacheRows(p) * p.kvHeads * p.headDim * kvBytes(p.dtype);
  const raw = 32 * p.batch * p.kvHeads * p.headDim * kvBytes(p.dtype);
  const lists = p.batch * listHeads(p);
  return {
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
  };
}

/** Rows of a KV head in `branch_keys`. */
export function branchRows({ capacity }: Pick<Problem, "capacity">): number {
  return capacity + capacity / 16 + 512;
}

/** Buffer specs of the named buffers, the suite's own or of other systems, all in one role. */
export function systemSpecs(
  p: Problem,
  role: BufferRole,
  ...names: readonly string[]
): Record<string, BufferSpec> {
  return specsOf({ ...bufferBytes(p), ...systemBufferBytes(p) }, role, names);
}
