/** Hamming distances and their histogram (HashAttention section 3: bitwise signatures). */
import type { Cost, Kernel, Plan, Variant } from "../core/variant.ts";
import { type Params, ranges } from "../core/problem/constants.ts";
import { dispatch } from "../core/dispatch.ts";
import { histogramSpec, specs } from "../core/layout.ts";
import {
  cachedTokens,
  codeHeads,
  codeWords,
  distanceBytes,
  listHeads,
  maxDistance,
  planesOf,
  queryWords,
} from "../core/problem/derived.ts";
import type { Problem } from "../core/problem/problem.ts";
import { defineKernel, defineVariant } from "../core/define.ts";
import source from "./hamming.wgsl" with { type: "text" };

/** Block sizes in tokens that a tuner tries, the same for score and counting select. */
export const BLOCK_TOKENS = [512, 1024, 2048, 4096] as const;

/** All block sizes. The largest is for caches that are longer than {@linkcode LONG_CACHE}. */
export const BLOCK_RANGE: readonly number[] = [...BLOCK_TOKENS, 8192];

/** Tokens of a cache beyond which smaller blocks have more histograms than fit a workgroup. */
export const LONG_CACHE = 2 ** 19;

/** `hamming.wgsl`. */
export const hammingKernel: Kernel = defineKernel({
  name: "score/hamming",
  source,
  params: {
    ...ranges("BITS", "PLANES", "QUERIES_PER_LIST", "QUERIES_PER_CODE", "SEQUENCE_LISTS"),
    ...ranges("CAPACITY", "DISTANCE_BYTES"),
    ...ranges("SINK", "RECENT"),
    BLOCK: BLOCK_RANGE,
    WORKGROUP: [64, 128, 256, 512],
    COPIES: [1, 2, 4, 8, 16, 32],
    COUNTED: [0, 1],
  },
});

/** Blocks of a sequence of `tokens` tokens. */
export function blockCount(tokens: number, blockTokens: number): number {
  return Math.ceil(tokens / blockTokens);
}

/** Number of lists that keep a large GPU busy without splits. */
export const MANY_LISTS = 128;

/**
 * Tokens of a block. Small blocks make it quick to find a token's place in the list, and a sequence
 * has at most 64 blocks, or 128 if it is long. If histograms have many bins, blocks are large, since
 * the select adds up all histograms.
 */
export function blockFor(p: Problem): number {
  if (p.capacity > LONG_CACHE) return 8192;
  if (maxDistance(p) > 256 && p.capacity > 65536) return 4096;
  if (p.batch * listHeads(p) >= MANY_LISTS && p.capacity > 16384) return 2048;
  return BLOCK_TOKENS.find((block) => p.capacity <= 64 * block && block >= 1024) ?? 4096;
}

/** Least traffic of a score: each code is read once, each distance is written once. */
export function scoreCost(p: Problem): Cost {
  const tokens = cachedTokens(p);
  return {
    streamBytes: codeHeads(p) * tokens * codeWords(p) * 4 + p.batch * p.qHeads * queryWords(p) * 4,
    gatherBytes: 0,
    writeBytes: listHeads(p) * tokens * distanceBytes(p),
    flops: 0,
    popcounts: p.qHeads * tokens * codeWords(p) * Math.max(1, planesOf(p)),
  };
}

function plan(p: Problem, params: Params, COUNTED: 0 | 1): Plan {
  const uncounted = { unused: { bytes: 16, role: "scratch" } } as const;
  return {
    buffers: {
      ...specs(p, "input", "lengths", "query_codes", "codes"),
      ...specs(p, "output", "distances"),
      ...(COUNTED ? histogramSpec(p, params.BLOCK, "output") : uncounted),
    },
    dispatches: [
      dispatch(
        hammingKernel,
        p,
        { ...params, COUNTED },
        [blockCount(p.capacity, params.BLOCK), listHeads(p), p.batch],
        COUNTED ? undefined : { block_histograms: "unused" },
      ),
    ],
  };
}

const definition: Variant = {
  name: "score/hamming",
  stage: "score",
  description: "XOR and popcount; packs distances, counts each block's histogram on chip",
  tunables: { BLOCK: BLOCK_TOKENS, WORKGROUP: [64, 128, 256, 512], COPIES: [1, 4, 8, 16, 32] },
  codes: "map",
  features: [],
  defaults: (p, limits) => ({
    BLOCK: blockFor(p),
    // Long codes have enough loads for more threads.
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
  plan: (p, params) => plan(p, params, 1),
  cost: scoreCost,
};

/** Scores by XOR and popcount, with a histogram per block of tokens. */
export const hamming: Variant = defineVariant(definition);

/**
 * The same without histograms, for a select that sorts. The distances of large groups are too many
 * for counts. It is not registered: it is verified as part of the step.
 */
export const hammingUncounted: Variant = defineVariant({
  ...definition,
  plan: (p, params) => plan(p, params, 0),
});
