/** Hamming distances and their histogram (HashAttention section 3: bitwise signatures). */
import type { Cost, Kernel, Plan, Variant } from "../core/variant.ts";
import { dispatch, histogramSpec, ranges, specs } from "../core/layout.ts";
import {
  cachedTokens,
  codeHeads,
  codeWords,
  distanceBytes,
  maxDistance,
  type Problem,
} from "../core/problem.ts";
import { defineKernel, defineVariant } from "../core/define.ts";
import source from "./hamming.wgsl" with { type: "text" };

/** Block sizes in tokens that score and counting select agree on. */
export const BLOCK_TOKENS = [512, 1024, 2048, 4096] as const;

/** `hamming.wgsl`. */
export const hammingKernel: Kernel = defineKernel({
  name: "score/hamming",
  source,
  params: {
    ...ranges("BITS", "QUERIES_PER_LIST", "CODE_HEADS", "CAPACITY", "DISTANCE_BYTES"),
    ...ranges("SINK", "RECENT"),
    BLOCK: BLOCK_TOKENS,
    WORKGROUP: [64, 128, 256, 512],
    COPIES: [1, 2, 4, 8, 16, 32],
  },
});

/** Blocks of a sequence of `tokens` tokens. */
export function blockCount(tokens: number, blockTokens: number): number {
  return Math.ceil(tokens / blockTokens);
}

/** Lists that keep a large GPU busy by themselves. */
export const MANY_LISTS = 128;

/**
 * Blocks in tokens: small enough to find a token's place quickly, at most 64 for a sequence; as few
 * as can be where histograms have many bins, since who selects adds them all up.
 */
export function blockFor(p: Problem): number {
  if (maxDistance(p) > 256 && p.capacity > 65536) return 4096;
  if (p.batch * codeHeads(p) >= MANY_LISTS && p.capacity > 16384) return 2048;
  return BLOCK_TOKENS.find((block) => p.capacity <= 64 * block && block >= 1024) ?? 4096;
}

/** Least traffic of a score: every code once, every distance written. */
export function scoreCost(p: Problem): Cost {
  const tokens = codeHeads(p) * cachedTokens(p);
  return {
    streamBytes: tokens * codeWords(p) * 4 + p.batch * p.qHeads * codeWords(p) * 4,
    gatherBytes: 0,
    writeBytes: tokens * distanceBytes(p),
    flops: p.qHeads * cachedTokens(p) * codeWords(p),
  };
}

/** Scores by XOR and popcount, histogram per block of tokens. */
export const hamming: Variant = defineVariant({
  name: "score/hamming",
  stage: "score",
  description: "XOR and popcount, distances packed, histogram per block in workgroup memory",
  tunables: { BLOCK: BLOCK_TOKENS, WORKGROUP: [64, 128, 256, 512], COPIES: [1, 4, 8, 16, 32] },
  features: [],
  defaults: (p, limits) => ({
    BLOCK: blockFor(p),
    // Long codes have loads for more threads.
    WORKGROUP: blockFor(p) >= 2048 && codeWords(p) > 1
      ? Math.min(512, limits.maxComputeInvocationsPerWorkgroup)
      : 256,
    COPIES: 1,
  }),
  refuses(_, { BLOCK: block, WORKGROUP: workgroup }) {
    if (block % (4 * workgroup) !== 0) {
      return `${workgroup} threads cannot share ${block} tokens in fours`;
    }
  },
  plan: (p, params): Plan => ({
    buffers: {
      ...specs(p, "input", "lengths", "query_codes", "codes"),
      ...specs(p, "output", "distances"),
      ...histogramSpec(p, params.BLOCK, "output"),
    },
    dispatches: [
      dispatch(hammingKernel, p, params, [
        blockCount(p.capacity, params.BLOCK),
        codeHeads(p),
        p.batch,
      ]),
    ],
  }),
  cost: scoreCost,
});
