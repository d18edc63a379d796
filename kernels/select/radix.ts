/** Exact top-k of f32 scores for any k: by bins of scores, then between those in one bin. */
import type { Cost, DeviceLimits, Kernel, Params, Variant } from "../core/variant.ts";
import { defineKernel, defineVariant } from "../core/define.ts";
import { dispatch, ranges, specs } from "../core/layout.ts";
import { listHeads, overSequences, type Problem, windowsOf } from "../core/problem.ts";
import countSource from "./radix_count.wgsl" with { type: "text" };
import finishSource from "./radix_finish.wgsl" with { type: "text" };
import takeSource from "./radix_take.wgsl" with { type: "text" };

const WORKGROUP: readonly number[] = [128, 256, 512, 1024];
const BINS: readonly number[] = [1024, 2048, 4096];
const LISTS = ranges("SEQUENCE_LISTS", "CAPACITY", "SINK", "RECENT", "K_COUNT", "SPARSITY");

/** Which scores share a bin. Every kernel of a plan has the same values. */
const BIN_RANGES = {
  BINS,
  SHIFT: [15, 16, 17, 18, 19],
  FIRST_EXPONENT: { min: 1, max: 200 },
};

const SHARE_RANGES = { WORKGROUP, LOADS: [1, 2, 4, 8] };

/** `radix_count.wgsl`. */
export const radixCountKernel: Kernel = defineKernel({
  name: "select/radix_count",
  source: countSource,
  params: { ...LISTS, ...BIN_RANGES, ...SHARE_RANGES },
});

/** `radix_take.wgsl`. */
export const radixTakeKernel: Kernel = defineKernel({
  name: "select/radix_take",
  source: takeSource,
  params: { ...LISTS, ...ranges("LIST_CAPACITY"), ...BIN_RANGES, ...SHARE_RANGES },
});

/** `radix_finish.wgsl`. */
export const radixFinishKernel: Kernel = defineKernel({
  name: "select/radix_finish",
  source: finishSource,
  params: {
    ...LISTS,
    ...ranges("LIST_CAPACITY", "TIES"),
    ...BIN_RANGES,
    WORKGROUP,
    AHEAD: [1, 2, 4, 8],
    DIGIT_BITS: { min: 10, max: 11 },
    FINALISTS: [16, 32, 64, 128],
  },
});

/** Workgroups of a list in the dispatches that share it out. */
function sharesOf(p: Problem, { WORKGROUP, LOADS }: Params): number {
  return Math.ceil(p.capacity / (4 * LOADS * WORKGROUP));
}

/**
 * Least traffic of an exact select of floats: reads the scores of the middle once, and writes the
 * list. The second read finds them in the cache.
 */
function radixCost(p: Problem): Cost {
  const middle = (length: number) => {
    const { sinkEnd, recentStart } = windowsOf(p, length);
    return recentStart - sinkEnd;
  };
  const lists = listHeads(p);
  return {
    streamBytes: 4 * lists * overSequences(p, middle),
    gatherBytes: 0,
    writeBytes: 4 * lists * overSequences(p, (length) => windowsOf(p, length).attended + 1),
    flops: 0,
  };
}

/**
 * Default parameters: about two workgroups for each multiprocessor of a large GPU with up to 8
 * scores per thread, and more workgroups beyond that. 32 bins for each power of two, from 2^-16 to
 * 2^16, leave a few hundred candidates of 131,072 scores with a normal distribution.
 */
function defaults(p: Problem, limits: DeviceLimits): Params {
  const most = limits.maxComputeInvocationsPerWorkgroup;
  const scores = p.capacity * p.batch * listHeads(p);
  const wanted = scores <= 2 ** 19 ? 256 : 512;
  return {
    WORKGROUP: Math.min(wanted, most),
    LOADS: scores <= 2 ** 20 ? 2 : 4,
    BINS: 2048,
    SHIFT: 18,
    FIRST_EXPONENT: 127 - 16,
    "finish.WORKGROUP": Math.min(512, most),
    "finish.AHEAD": 4,
    "finish.FINALISTS": 32,
  };
}

/** Exact top-k of floats. */
export const radix: Variant = defineVariant({
  name: "select/radix",
  stage: "select",
  description: "f32 scores: counts bins of scores, takes what is above the threshold's, ranks that",
  tunables: {
    WORKGROUP,
    LOADS: [1, 2, 4, 8],
    BINS,
    SHIFT: [17, 18],
    "finish.WORKGROUP": WORKGROUP,
    "finish.AHEAD": [2, 4, 8],
    "finish.FINALISTS": [16, 32, 64],
  },
  features: [],
  defaults,
  refuses: () => undefined,
  plan(p, params) {
    const { "finish.WORKGROUP": threads, "finish.AHEAD": AHEAD, "finish.FINALISTS": FINALISTS } =
      params;
    const finish = { ...params, WORKGROUP: threads, AHEAD, FINALISTS };
    const lists = p.batch * listHeads(p);
    const grid = [sharesOf(p, params), listHeads(p), p.batch] as const;
    const zeroed = (bytes: number) =>
      ({ bytes, role: "scratch", zeros: { offset: 0, bytes } }) as const;
    return {
      buffers: {
        ...specs(p, "input", "lengths", "scores"),
        bin_counts: zeroed(4 * lists * params.BINS),
        appended: zeroed(16 * lists),
        candidates: { bytes: 8 * lists * p.capacity, role: "scratch" },
        ...specs(p, "output", "selected", "selected_counts"),
      },
      dispatches: [
        dispatch(radixCountKernel, p, params, grid),
        dispatch(radixTakeKernel, p, params, grid),
        dispatch(radixFinishKernel, p, { ...finish, DIGIT_BITS: digitBits(threads) }, [
          1,
          listHeads(p),
          p.batch,
        ]),
      ],
    };
  },
  cost: radixCost,
});

/** Bits that a round decides: each thread has a digit at least. */
function digitBits(threads: number): number {
  return threads > 512 ? 11 : 10;
}
