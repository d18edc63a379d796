/** Counting select: exact top-k from the histograms of the score stage. */
import type { Cost, DeviceLimits, Kernel, Plan, Variant } from "../core/variant.ts";
import { type Params, ranges } from "../core/problem/constants.ts";
import { dispatch } from "../core/dispatch.ts";
import { histogramSpec, specs } from "../core/layout.ts";
import {
  distanceBytes,
  listHeads,
  maxDistance,
  overSequences,
  windowsOf,
} from "../core/problem/derived.ts";
import type { Problem } from "../core/problem/problem.ts";
import { BLOCK_RANGE, BLOCK_TOKENS, blockCount, blockFor, MANY_LISTS } from "../score/hamming.ts";
import { defineKernel, defineVariant } from "../core/define.ts";
import source from "./counting.wgsl" with { type: "text" };

/** `counting.wgsl`. */
export const countingKernel: Kernel = defineKernel({
  name: "select/counting",
  source,
  params: {
    ...ranges("LAST", "SEQUENCE_LISTS", "CAPACITY", "LIST_CAPACITY"),
    ...ranges("DISTANCE_BYTES", "TIES", "SINK", "RECENT", "K_COUNT", "SPARSITY"),
    BLOCK: BLOCK_RANGE,
    SPLITS: { min: 1, max: 4096 },
    WORKGROUP: [64, 128, 256, 512],
    TOKENS: [16, 32],
  },
});

/** Values that a tuner tries for the parameters of the counting selects. */
export const COUNTING_TUNABLES: Variant["tunables"] = {
  BLOCK: BLOCK_TOKENS,
  SPLITS: [1, 2, 4, 8, 16, 32],
  WORKGROUP: [64, 128, 256, 512],
  TOKENS: [16, 32],
};

/**
 * Workgroups that a large GPU runs at a time. More of them would only repeat the histogram sums.
 */
const MOST_WORKGROUPS = 1024;

/**
 * Default parameters of the counting selects. Each workgroup compacts one window of tokens. Windows
 * grow with the capacity, since each workgroup adds up the histograms. With many lists, a workgroup
 * compacts several windows.
 */
export function countingDefaults(p: Problem, limits: DeviceLimits): Params {
  const manyBins = maxDistance(p) > 256 && p.capacity > 65536;
  const wanted = p.capacity <= 16384 ? 128 : manyBins ? 512 : 256;
  const WORKGROUP = Math.min(wanted, limits.maxComputeInvocationsPerWorkgroup);
  const lists = p.batch * listHeads(p);
  const TOKENS = p.capacity > 65536 || p.capacity > 16384 && lists >= MANY_LISTS ? 32 : 16;
  const windows = Math.ceil(p.capacity / (WORKGROUP * TOKENS));
  const most = Math.floor(MOST_WORKGROUPS / lists);
  return { BLOCK: blockFor(p), SPLITS: Math.max(1, Math.min(windows, most)), WORKGROUP, TOKENS };
}

/** The plan of a counting select. */
export function countingPlan(kernel: Kernel, p: Problem, params: Params): Plan {
  const blocks = blockCount(p.capacity, params.BLOCK);
  const shares = Math.ceil(blocks / Math.ceil(blocks / params.SPLITS));
  return {
    buffers: {
      ...specs(p, "input", "lengths", "distances"),
      ...histogramSpec(p, params.BLOCK, "input"),
      ...specs(p, "output", "selected", "selected_counts"),
    },
    dispatches: [dispatch(kernel, p, params, [shares, listHeads(p), p.batch])],
  };
}

/** Least traffic of an exact select: reads distances and histograms, writes the list. */
export function selectCost(p: Problem, blockTokens: number): Cost {
  const heads = listHeads(p);
  const histogramBytes = (maxDistance(p) + 1) * 4;
  const read = (length: number) =>
    length * distanceBytes(p) + blockCount(length, blockTokens) * histogramBytes;
  return {
    streamBytes: heads * overSequences(p, read),
    gatherBytes: 0,
    writeBytes: 4 * heads * overSequences(p, (length) => windowsOf(p, length).attended + 1),
    flops: 0,
  };
}

/** Exact select by counting. */
export const counting: Variant = defineVariant({
  name: "select/counting",
  stage: "select",
  description: "finds the threshold from histograms; each workgroup compacts a share in order",
  tunables: COUNTING_TUNABLES,
  features: [],
  sharedPrefix: "also",
  defaults: countingDefaults,
  refuses: () => undefined,
  plan: (p, params) => countingPlan(countingKernel, p, params),
  cost: (p, params) => selectCost(p, params.BLOCK),
});
