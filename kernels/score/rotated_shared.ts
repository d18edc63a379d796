/** Scores rotated codes of a shared prefix for the query heads of all sequences at a time. */
import type { Cost, Kernel, Plan, Variant } from "../core/variant.ts";
import { type Params, ranges } from "../core/problem/constants.ts";
import { dispatch } from "../core/dispatch.ts";
import { histogramSpec, specs } from "../core/layout.ts";
import {
  cachedTokens,
  codeWords,
  distinctTokens,
  groupSize,
  planesOf,
  prefixOf,
  queryWords,
} from "../core/problem/derived.ts";
import type { Problem } from "../core/problem/problem.ts";
import { defineKernel, defineVariant } from "../core/define.ts";
import { BLOCK_RANGE, BLOCK_TOKENS, blockCount } from "./hamming.ts";
import source from "./rotated_shared.wgsl" with { type: "text" };

const WORKGROUP: readonly number[] = [64, 128, 256, 512];
const QUERIES: readonly number[] = [4, 8, 16, 32];

/** `rotated_shared.wgsl`. */
export const rotatedSharedKernel: Kernel = defineKernel({
  name: "score/rotated_shared",
  source,
  params: {
    ...ranges("BITS", "PLANES", "BINS", "BATCH", "GROUP", "KV_HEADS", "CAPACITY", "PREFIX"),
    ...ranges("SINK", "RECENT"),
    BLOCK: BLOCK_RANGE,
    WORKGROUP,
    QUERIES,
  },
});

/** Least traffic: codes of the prefix are read once for all sequences. */
function cost(p: Problem): Cost {
  const queries = p.batch * p.qHeads;
  const pairs = p.qHeads * cachedTokens(p);
  return {
    streamBytes: p.kvHeads * distinctTokens(p) * (codeWords(p) * 4 + 1) +
      queries * queryWords(p) * 4,
    gatherBytes: 0,
    writeBytes: pairs,
    flops: 0,
    popcounts: pairs * codeWords(p) * Math.max(1, planesOf(p)),
  };
}

/** Blocks of the prefix, then those that each sequence has of its own. */
function workgroupsOf(p: Problem, { BLOCK }: Params): number {
  const shared = Math.floor(prefixOf(p) / BLOCK);
  return shared + p.batch * (blockCount(p.capacity, BLOCK) - shared);
}

/** Scores in whole numbers, with a histogram per block of tokens, over a shared prefix. */
export const rotatedShared: Variant = defineVariant({
  name: "score/rotated_shared",
  stage: "score",
  description: "score/rotated where sequences share a prefix, whose codes are read once for all",
  tunables: { BLOCK: BLOCK_TOKENS, WORKGROUP, QUERIES },
  codes: "rotated",
  features: [],
  sharedPrefix: "only",
  defaults: (p, limits) => ({
    // A sequence of its own has a small tail, and a block that begins in the prefix is read by each.
    BLOCK: BLOCK_TOKENS.find((block) => p.capacity <= 128 * block && block >= 1024) ?? 8192,
    WORKGROUP: Math.min(256, limits.maxComputeInvocationsPerWorkgroup),
    QUERIES: QUERIES.find((count) => count >= Math.min(16, p.batch * groupSize(p))) ?? 16,
  }),
  refuses(_, { BLOCK: block, WORKGROUP: workgroup }) {
    if (block % (4 * workgroup) !== 0) {
      return `${workgroup} threads cannot share ${block} tokens in fours`;
    }
  },
  plan: (p, params): Plan => ({
    buffers: {
      ...specs(p, "input", "lengths", "query_codes", "codes", "factors"),
      ...specs(p, "output", "distances"),
      ...histogramSpec(p, params.BLOCK, "output"),
    },
    dispatches: [
      dispatch(rotatedSharedKernel, p, params, [workgroupsOf(p, params), p.kvHeads, 1]),
    ],
  }),
  cost,
});
