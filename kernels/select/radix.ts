/** Exact top-k of f32 scores for any k: by bins of scores, then between those in one bin. */
import type { Cost, DeviceLimits, Kernel, Plan, Variant } from "../core/variant.ts";
import { type Params, ranges } from "../core/problem/constants.ts";
import { defineKernel, defineVariant } from "../core/define.ts";
import { dispatch } from "../core/dispatch.ts";
import { systemSpecs } from "../core/system_layout.ts";
import {
  PAGE_TOKENS,
  pageCapacity,
  pageListCapacity,
  pageWindowsOf,
  refusesPages,
} from "../core/problem/pages.ts";
import {
  listCapacity,
  listHeads,
  overSequences,
  type Windows,
  windowsOf,
} from "../core/problem/derived.ts";
import type { Problem } from "../core/problem/problem.ts";
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
  PAGE: [1, PAGE_TOKENS],
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

/** What the entries of lists are: tokens or pages. */
interface Entries {
  /** Tokens of an entry. */
  readonly page: number;
  /** Names of the buffers that the kernels call `scores`, `selected` and `selected_counts`. */
  readonly names: readonly [scores: string, selected: string, counts: string];
  /** Entries that a list's scores have room for. */
  capacity(p: Problem): number;
  /** Entries that a list has room for. */
  listCapacity(p: Problem): number;
  /** The windows of a sequence, in entries. */
  windowsOf(p: Problem, length: number): Windows;
}

const TOKENS: Entries = {
  page: 1,
  names: ["scores", "selected", "selected_counts"],
  capacity: (p) => p.capacity,
  listCapacity,
  windowsOf,
};

const PAGES: Entries = {
  page: PAGE_TOKENS,
  names: ["page_scores", "selected_pages", "selected_page_tokens"],
  capacity: pageCapacity,
  listCapacity: pageListCapacity,
  windowsOf: pageWindowsOf,
};

/** The parameters of the kernels that follow from the entries of lists. */
function entryParams(p: Problem, entries: Entries): Params {
  return {
    PAGE: entries.page,
    CAPACITY: entries.capacity(p),
    LIST_CAPACITY: entries.listCapacity(p),
  };
}

/**
 * Least traffic of an exact select of floats: reads the scores of the middle once, and writes the
 * list. A second read finds them in the cache.
 */
function radixCost(p: Problem, entries: Entries): Cost {
  const middle = (length: number) => {
    const { sinkEnd, recentStart } = entries.windowsOf(p, length);
    return recentStart - sinkEnd;
  };
  const written = (length: number) => entries.windowsOf(p, length).attended + 1;
  const lists = listHeads(p);
  return {
    streamBytes: 4 * lists * overSequences(p, middle),
    gatherBytes: 0,
    writeBytes: 4 * lists * overSequences(p, written),
    flops: 0,
  };
}

/**
 * Threads and loads that hold a list in one workgroup, the best first. Lists of more than 8,192
 * tokens take less time on an H100 if they are shared out: 15 us instead of 21 at 16,384 tokens.
 */
function wholeList(capacity: number): Params[] {
  return [256, 512]
    .map((WORKGROUP) => ({ WORKGROUP, LOADS: Math.ceil(capacity / (4 * WORKGROUP)) }))
    .filter(({ LOADS }) => LOADS <= 4);
}

/** Threads and loads of the dispatches that share a list out. */
function shares(p: Problem, most: number, entries: Entries): Params {
  const scores = entries.capacity(p) * p.batch * listHeads(p);
  // Two workgroups or more for each multiprocessor of a large GPU.
  return { WORKGROUP: Math.min(256, most), LOADS: scores <= 2 ** 21 ? 2 : 4 };
}

/**
 * Default parameters. A list that fits a workgroup needs one dispatch. 32 bins for each power of
 * two, from 2^-16 to 2^16, leave a few hundred candidates of 131,072 normally distributed scores.
 */
function defaults(p: Problem, limits: DeviceLimits, entries: Entries): Params {
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
  const shared = { DISPATCHES: 3, ...shares(p, most, entries), ...common };
  const { refuses } = entries === PAGES ? radixPages : radix;
  return wholeList(entries.capacity(p)).map((each) => ({ DISPATCHES: 1, ...each, ...common }))
    .find((params) => !refuses(p, params, limits)) ?? shared;
}

function refuses(
  params: Params,
  limits: DeviceLimits,
  capacity: number,
): string | undefined {
  if (params.DISPATCHES === 1 && spanOf(params) < capacity) {
    return `a workgroup holds ${spanOf(params)} scores of a list of ${capacity}`;
  }
  return refusesHandOver(params, limits);
}

/** The plan with a workgroup for each list. */
function listPlan(p: Problem, params: Params, entries: Entries): Plan {
  const [scores, selected, selected_counts] = entries.names;
  const values = { ...params, ...entryParams(p, entries) };
  const names = { scores, selected, selected_counts };
  return {
    buffers: {
      ...systemSpecs(p, "input", "lengths", scores),
      ...systemSpecs(p, "output", selected, selected_counts),
    },
    dispatches: [dispatch(radixListKernel, p, values, [1, listHeads(p), p.batch], names)],
  };
}

/** The plan that shares lists out. */
function sharedPlan(p: Problem, params: Params, entries: Entries): Plan {
  const [scores, selected, selected_counts] = entries.names;
  const values: Params = { ...params, ...entryParams(p, entries) };
  const finish: Params = { ...values, WORKGROUP: params["finish.WORKGROUP"] };
  const lists = p.batch * listHeads(p);
  const grid = [Math.ceil(entries.capacity(p) / spanOf(params)), listHeads(p), p.batch] as const;
  const zeroed = (bytes: number) =>
    ({ bytes, role: "scratch", zeros: { offset: 0, bytes } }) as const;
  return {
    buffers: {
      ...systemSpecs(p, "input", "lengths", scores),
      bin_counts: zeroed(4 * lists * params.BINS),
      appended: zeroed(16 * lists),
      candidates: { bytes: 8 * lists * entries.capacity(p), role: "scratch" },
      ...systemSpecs(p, "output", selected, selected_counts),
    },
    dispatches: [
      dispatch(radixCountKernel, p, values, grid, { scores }),
      dispatch(radixTakeKernel, p, values, grid, { scores, selected, selected_counts }),
      ...(params.HAND_OVER === HAND_OVER_CODE.barrier
        ? []
        : [dispatch(radixFinishKernel, p, finish, [1, listHeads(p), p.batch], { selected })]),
    ],
  };
}

function radixPlan(p: Problem, params: Params, entries: Entries): Plan {
  return (params.DISPATCHES === 1 ? listPlan : sharedPlan)(p, params, entries);
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
  defaults: (p, limits) => defaults(p, limits, TOKENS),
  refuses: (p, params, limits) => refuses(params, limits, TOKENS.capacity(p)),
  plan: (p, params) => radixPlan(p, params, TOKENS),
  cost: (p) => radixCost(p, TOKENS),
});

/** Exact top-k of pages, in one dispatch where a list fits a workgroup. */
export const radixPages: Variant = defineVariant({
  name: "select/radix_pages",
  stage: "select",
  description: "f32 scores of pages: select/radix over pages of 16 tokens, the newest is taken",
  tunables: { DISPATCHES: [1, 3], COPIES, ...SHARED_TUNABLES },
  features: [],
  defaults: (p, limits) => defaults(p, limits, PAGES),
  refuses: (p, params, limits) => refusesPages(p) ?? refuses(params, limits, PAGES.capacity(p)),
  plan: (p, params) => radixPlan(p, params, PAGES),
  cost: (p) => radixCost(p, PAGES),
});

/** Exact top-k of floats, which always shares lists out. */
export const radixShares: Variant = defineVariant({
  name: "select/radix_shares",
  stage: "select",
  description: "f32 scores: counts bins of scores, takes what is above the threshold's, ranks that",
  tunables: SHARED_TUNABLES,
  features: [],
  defaults(p, limits) {
    const { DISPATCHES: _dispatches, COPIES: _copies, ...others } = defaults(p, limits, TOKENS);
    return { ...others, ...shares(p, limits.maxComputeInvocationsPerWorkgroup, TOKENS) };
  },
  refuses: (_, params, limits) => refusesHandOver(params, limits),
  plan: (p, params) => sharedPlan(p, params, TOKENS),
  cost: (p) => radixCost(p, TOKENS),
});
