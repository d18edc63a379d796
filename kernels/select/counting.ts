/** Counting select: exact top-k from the histogram that the score stage leaves. */
import type { Contender, Cost, Kernel, Plan } from "../contender.ts";
import { dispatch, histogramSpec, ranges, specs } from "../layout.ts";
import {
  codeHeads,
  distanceBytes,
  maxDistance,
  overSequences,
  type Problem,
  windowsOf,
} from "../problem.ts";
import { BLOCK_TOKENS, blockCount, blockFor } from "../score/hamming.ts";
import { refusesWorkgroup } from "../refusals.ts";
import source from "./counting.wgsl" with { type: "text" };

/** `counting.wgsl`. */
export const countingKernel: Kernel = {
  name: "select/counting",
  source,
  bindings: [
    { name: "lengths", access: "read" },
    { name: "distances", access: "read" },
    { name: "block_histograms", access: "read" },
    { name: "selected", access: "read_write" },
    { name: "selected_counts", access: "read_write" },
  ],
  params: {
    ...ranges("BITS", "QUERIES_PER_LIST", "CODE_HEADS", "CAPACITY", "LIST_CAPACITY"),
    ...ranges("DISTANCE_BYTES", "SINK", "RECENT", "K_COUNT", "SPARSITY"),
    BLOCK: BLOCK_TOKENS,
    WORKGROUP: [64, 128, 256, 512],
  },
};

/** Least traffic of an exact select: distances and histograms in, the list out. */
export function selectCost(p: Problem, blockTokens: number): Cost {
  const heads = codeHeads(p);
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
export const counting: Contender = {
  name: "select/counting",
  stage: "select",
  description: "cut distance from the histogram, then ordered compaction; one dispatch",
  tunables: { BLOCK: BLOCK_TOKENS, WORKGROUP: [64, 128, 256, 512] },
  features: [],
  defaults: (p) => ({ BLOCK: blockFor(p), WORKGROUP: 256 }),
  refuses(p, params, limits) {
    const { BLOCK: block, WORKGROUP: workgroup } = params;
    const perWord = 4 / distanceBytes(p);
    if (block % (workgroup * perWord) !== 0) {
      return `${workgroup} threads cannot share ${block} tokens in words of ${perWord}`;
    }
    const bytes = (maxDistance(p) + 1) * 8 + workgroup * 8 + 16;
    return refusesWorkgroup(workgroup, bytes, limits);
  },
  plan: (p, params): Plan => ({
    buffers: {
      ...specs(p, "input", "lengths", "distances"),
      ...histogramSpec(p, params.BLOCK, "input"),
      ...specs(p, "output", "selected", "selected_counts"),
    },
    dispatches: [
      dispatch(countingKernel, p, params, [
        blockCount(p.capacity, params.BLOCK),
        codeHeads(p),
        p.batch,
      ]),
    ],
  }),
  cost: (p, params) => selectCost(p, params.BLOCK),
};
