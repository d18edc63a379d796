/**
 * Dense decode like LightLLM (TokenAttention with its GQA flash-decoding kernel), a dense baseline
 * of HashAttention's efficiency experiments. K and V of all sequences lie in one pool of tokens,
 * and an index gives the place of each token. Splits make partials, then a merge joins them.
 */
import type { Cost, Kernel, Plan, Variant } from "../core/variant.ts";
import { dispatch } from "../core/dispatch.ts";
import { MOST_GROUP, ranges } from "../core/problem/constants.ts";
import { partialSpecs } from "../core/layout.ts";
import { systemSpecs } from "../core/system_layout.ts";
import { mergeDispatch } from "../merge/merge.ts";
import { cachedTokens, groupSize } from "../core/problem/derived.ts";
import type { Problem } from "../core/problem/problem.ts";
import {
  headsFor,
  lanesFor,
  LIST_HEADS,
  refusesHeads,
  refusesRowSplit,
  ROW_SPLIT_RANGES,
  ROW_SPLIT_TUNABLES,
  tokensFor,
} from "../core/row_split.ts";
import { DENSE_SPLITS, denseCost } from "./split.ts";
import { defineKernel, defineVariant } from "../core/define.ts";
import source from "./token_pool.wgsl" with { type: "text" };

/**
 * `token_pool.wgsl`: q f32 [B, Hq, D], the pools [B * capacity, Hkv, D] and the index u32
 * [B, capacity] to partials [B, Hq, splits].
 */
export const tokenPoolKernel: Kernel = defineKernel({
  name: "dense/token_pool",
  source,
  params: {
    ...ranges("HEAD_DIM", "GROUP", "KV_HEADS", "CAPACITY", "KV_DTYPE"),
    HEADS: { min: 1, max: MOST_GROUP },
    ...ROW_SPLIT_RANGES,
  },
});

/**
 * Splits of the capacity, so that about `workgroups` workgroups have tokens to read, with `lists`
 * lists a sequence. Each share has at least 32 tokens.
 */
function poolSplits(p: Problem, lists: number, workgroups: number): number {
  const share = Math.max(32, Math.ceil(cachedTokens(p) * lists / workgroups));
  return Math.ceil(p.capacity / share);
}

/** The traffic of dense decode, with gathered rows, plus the index. */
function cost(p: Problem): Cost {
  const dense = denseCost(p);
  const qBytes = dense.writeBytes;
  return {
    ...dense,
    streamBytes: qBytes + 4 * cachedTokens(p),
    gatherBytes: dense.streamBytes - qBytes,
  };
}

/** LightLLM's dense decode, portable. */
export const denseTokenPool: Variant = defineVariant({
  name: "dense/token_pool",
  stage: "dense",
  description:
    "LightLLM: split-KV over a token pool with an index; reads K and V once per GQA group",
  tunables: { ...ROW_SPLIT_TUNABLES, HEADS: LIST_HEADS, SPLITS: DENSE_SPLITS },
  features: [],
  defaults(p) {
    const HEADS = headsFor(groupSize(p));
    return {
      WORKGROUP: 128,
      LANES: lanesFor(p, 16, HEADS),
      TOKENS: tokensFor(HEADS, 128),
      HEADS,
      SPLITS: poolSplits(p, p.qHeads / HEADS, 528),
    };
  },
  refuses: (p, params) => refusesHeads(groupSize(p), params) ?? refusesRowSplit(p, params),
  plan: (p, params): Plan => ({
    buffers: {
      ...systemSpecs(p, "input", "lengths", "q", "token_index", "pool_keys", "pool_values"),
      ...systemSpecs(p, "input", "sink_logits"),
      ...partialSpecs(p, params.SPLITS, "scratch"),
      ...systemSpecs(p, "output", "out"),
    },
    dispatches: [
      dispatch(tokenPoolKernel, p, params, [params.SPLITS, p.qHeads / params.HEADS, p.batch]),
      mergeDispatch(p, params.SPLITS),
    ],
  }),
  cost,
});
