/** Exact top-k of f32 scores for any k: by bins of scores, then between those in one bin. */
import type { Cost, DeviceLimits, Kernel, Params, Plan, Variant } from "../core/variant.ts";
import { defineKernel, defineVariant } from "../core/define.ts";
import { dispatch, ranges, specs } from "../core/layout.ts";
import { listHeads, overSequences, type Problem, windowsOf } from "../core/problem.ts";
import { HAND_OVER_CODE, handOverParam, refusesHandOver } from "../merge/hand_over.ts";
import countSource from "./radix_count.wgsl" with { type: "text" };
import finishSource from "./radix_finish.wgsl" with { type: "text" };
import listSource from "./radix_list.wgsl" with { type: "text" };
import takeSource from "./radix_take.wgsl" with { type: "text" };

const WORKGROUP: readonly number[] = [128, 256, 512, 1024];
const BINS: readonly number[] = [1024, 2048, 4096];
const LOADS: readonly number[] = [1, 2, 3, 4, 5, 6, 7, 8];
const COPIES: readonly number[] = [1, 2, 4];
const AHEAD: readonly number[] = [1, 2, 4, 8];
const FINALISTS: readonly number[] = [16, 32, 64, 128];

const COUNT_RANGES = {
  ...ranges("SEQUENCE_LISTS", "CAPACITY", "SINK", "RECENT", "K_COUNT", "SPARSITY"),
  BINS,
  SHIFT: [15, 16, 17, 18, 19],
  FIRST_EXPONENT: { min: 1, max: 200 },
  WORKGROUP,
};

/** `radix_count.wgsl`. */
export const radixCountKernel: Kernel = defineKernel({
  name: "select/radix_count",
  source: countSource,
  params: { ...COUNT_RANGES, LOADS },
});

/** `radix_take.wgsl`. */
export const radixTakeKernel: Kernel = defineKernel({
  name: "select/radix_take",
  source: takeSource,
  params: {
    ...COUNT_RANGES,
    ...ranges("LIST_CAPACITY", "TIES"),
    LOADS,
    AHEAD,
    FINALISTS,
    HAND_OVER: Object.values(HAND_OVER_CODE),
  },
});

/** `radix_finish.wgsl`. */
export const radixFinishKernel: Kernel = defineKernel({
  name: "select/radix_finish",
  source: finishSource,
  params: {
    ...COUNT_RANGES,
    ...ranges("LIST_CAPACITY", "TIES"),
    AHEAD,
    FINALISTS,
  },
});

/** `radix_list.wgsl`. */
export const radixListKernel: Kernel = defineKernel({
  name: "select/radix_list",
  source: listSource,
  params: {
    ...COUNT_RANGES,
    ...ranges("LIST_CAPACITY", "TIES"),
    LOADS,
    COPIES,
    FINALISTS,
  },
});

/** Scores that a workgroup reads. */
function spanOf({ WORKGROUP, LOADS }: Params): number {
  return 4 * WORKGROUP * LOADS;
}

/**
 * Least traffic of an exact select of floats: reads the scores of the middle once, and writes the
 * list. A second read finds them in the cache.
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
 * Threads and loads that hold a list in one workgroup, the best first. Lists of more than 8,192
 * tokens take less time on an H100 if they are shared out: 15 us instead of 21 at 16,384 tokens.
 */
function wholeList(p: Problem): Params[] {
  return [256, 512]
    .map((WORKGROUP) => ({ WORKGROUP, LOADS: Math.ceil(p.capacity / (4 * WORKGROUP)) }))
    .filter(({ LOADS }) => LOADS <= 4);
}

/** Threads and loads of the dispatches that share a list out. */
function shares(p: Problem, most: number): Params {
  const scores = p.capacity * p.batch * listHeads(p);
  // Two workgroups or more for each multiprocessor of a large GPU.
  return { WORKGROUP: Math.min(256, most), LOADS: scores <= 2 ** 21 ? 2 : 4 };
}

/**
 * Default parameters. A list that fits a workgroup needs one dispatch. 32 bins for each power of
 * two, from 2^-16 to 2^16, leave a few hundred candidates of 131,072 normally distributed scores.
 */
function defaults(p: Problem, limits: DeviceLimits): Params {
  const most = limits.maxComputeInvocationsPerWorkgroup;
  const common = {
    COPIES: 1,
    BINS: 2048,
    SHIFT: 18,
    FIRST_EXPONENT: 127 - 16,
    AHEAD: 4,
    FINALISTS: 32,
    "finish.WORKGROUP": Math.min(512, most),
    HAND_OVER: handOverParam(limits),
  };
  const shared = { DISPATCHES: 3, ...shares(p, most), ...common };
  return wholeList(p).map((each) => ({ DISPATCHES: 1, ...each, ...common }))
    .find((params) => !radix.refuses(p, params, limits)) ?? shared;
}

function refuses(p: Problem, params: Params, limits: DeviceLimits): string | undefined {
  if (params.DISPATCHES === 1 && spanOf(params) < p.capacity) {
    return `a workgroup holds ${spanOf(params)} scores of a list of ${p.capacity}`;
  }
  return refusesHandOver(params, limits);
}

/** The plan with a workgroup for each list. */
function listPlan(p: Problem, params: Params): Plan {
  return {
    buffers: {
      ...specs(p, "input", "lengths", "scores"),
      ...specs(p, "output", "selected", "selected_counts"),
    },
    dispatches: [dispatch(radixListKernel, p, params, [1, listHeads(p), p.batch])],
  };
}

/** The plan that shares lists out. */
function sharedPlan(p: Problem, params: Params): Plan {
  const finish: Params = { ...params, WORKGROUP: params["finish.WORKGROUP"] };
  const lists = p.batch * listHeads(p);
  const grid = [Math.ceil(p.capacity / spanOf(params)), listHeads(p), p.batch] as const;
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
      ...(params.HAND_OVER === HAND_OVER_CODE.barrier
        ? []
        : [dispatch(radixFinishKernel, p, finish, [1, listHeads(p), p.batch])]),
    ],
  };
}

const SHARED_TUNABLES: Variant["tunables"] = {
  WORKGROUP,
  LOADS: [1, 2, 4, 8],
  BINS,
  SHIFT: [17, 18],
  FINALISTS: [16, 32, 64],
  AHEAD: [2, 4, 8],
  "finish.WORKGROUP": WORKGROUP,
};

/** Exact top-k of floats, in one dispatch where a list fits a workgroup. */
export const radix: Variant = defineVariant({
  name: "select/radix",
  stage: "select",
  description: "f32 scores: bins of scores, then rounds; a short list in one workgroup's registers",
  tunables: { DISPATCHES: [1, 3], COPIES, ...SHARED_TUNABLES },
  features: [],
  defaults,
  refuses,
  plan: (p, params) => (params.DISPATCHES === 1 ? listPlan : sharedPlan)(p, params),
  cost: radixCost,
});

/** Exact top-k of floats, which always shares lists out. */
export const radixShares: Variant = defineVariant({
  name: "select/radix_shares",
  stage: "select",
  description: "f32 scores: counts bins of scores, takes what is above the threshold's, ranks that",
  tunables: SHARED_TUNABLES,
  features: [],
  defaults(p, limits) {
    const { DISPATCHES: _dispatches, COPIES: _copies, ...others } = defaults(p, limits);
    return { ...others, ...shares(p, limits.maxComputeInvocationsPerWorkgroup) };
  },
  refuses: (_, params, limits) => refusesHandOver(params, limits),
  plan: sharedPlan,
  cost: radixCost,
});
