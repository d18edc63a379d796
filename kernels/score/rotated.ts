/** Scores rotated codes for all query heads of a group at a time, and puts the scores into bins. */
import type { Cost, Kernel, Plan, Variant } from "../core/variant.ts";
import { dispatch } from "../core/dispatch.ts";
import { histogramSpec, specs } from "../core/layout.ts";
import { MOST_GROUP, ranges } from "../core/problem/constants.ts";
import {
  binsOf,
  cachedTokens,
  codeWords,
  groupSize,
  planesOf,
  queryWords,
} from "../core/problem/derived.ts";
import type { Problem } from "../core/problem/problem.ts";
import { headsFor, refusesHeads } from "../core/row_split.ts";
import { defineKernel, defineVariant } from "../core/define.ts";
import { BLOCK_RANGE, BLOCK_TOKENS, blockCount, blockFor } from "./hamming.ts";
import source from "./rotated.wgsl" with { type: "text" };

const WORKGROUP: readonly number[] = [64, 128, 256, 512];
const COPIES: readonly number[] = [1, 2, 4];

/** `rotated.wgsl`. */
export const rotatedKernel: Kernel = defineKernel({
  name: "score/rotated",
  source,
  params: {
    ...ranges("BITS", "PLANES", "BINS", "GROUP", "KV_HEADS", "CAPACITY", "SINK", "RECENT"),
    HEADS: { min: 1, max: MOST_GROUP },
    BLOCK: BLOCK_RANGE,
    WORKGROUP,
    COPIES,
  },
});

/** Values of HEADS, the query heads that a workgroup scores, that a tuner tries. */
export const SCORED_HEADS: readonly number[] = [1, 2, 4, 7, 8, 16];

/**
 * Query heads that a workgroup scores: a group of up to 16, and fewer with more bins than usual,
 * whose counts would not fit the memory of a small device. Larger groups fill more workgroups.
 */
export function scoredHeads(p: Problem): number {
  const group = groupSize(p);
  return headsFor(group, Math.min(group > 16 ? 8 : 16, 1024 / binsOf(p).count));
}

/** Least traffic: codes and factors are read once, a byte is written for each token and query. */
export function rotatedCost(p: Problem): Cost {
  const tokens = cachedTokens(p);
  const queries = p.batch * p.qHeads;
  return {
    streamBytes: p.kvHeads * tokens * (codeWords(p) * 4 + 1) + queries * queryWords(p) * 4,
    gatherBytes: 0,
    writeBytes: p.qHeads * tokens,
    flops: 0,
    popcounts: p.qHeads * tokens * codeWords(p) * Math.max(1, planesOf(p)),
  };
}

/** Scores in whole numbers, with a histogram per block of tokens. */
export const rotated: Variant = defineVariant({
  name: "score/rotated",
  stage: "score",
  description: "weighted popcounts times the key's factor, in bins; reads codes once per group",
  tunables: { BLOCK: BLOCK_TOKENS, HEADS: SCORED_HEADS, WORKGROUP, COPIES },
  codes: "rotated",
  features: [],
  defaults: (p, limits) => ({
    BLOCK: blockFor(p),
    HEADS: scoredHeads(p),
    WORKGROUP: Math.min(256, limits.maxComputeInvocationsPerWorkgroup),
    COPIES: 1,
  }),
  refuses(p, params) {
    const { BLOCK: block, WORKGROUP: workgroup } = params;
    if (block % (4 * workgroup) !== 0) {
      return `${workgroup} threads cannot share ${block} tokens in fours`;
    }
    return refusesHeads(groupSize(p), params);
  },
  plan: (p, params): Plan => ({
    buffers: {
      ...specs(p, "input", "lengths", "query_codes", "codes", "factors"),
      ...specs(p, "output", "distances"),
      ...histogramSpec(p, params.BLOCK, "output"),
    },
    dispatches: [
      dispatch(rotatedKernel, p, params, [
        blockCount(p.capacity, params.BLOCK),
        p.qHeads / params.HEADS,
        p.batch,
      ]),
    ],
  }),
  cost: rotatedCost,
});
