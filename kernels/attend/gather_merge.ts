/** Gathered decode attention. The last workgroup of a list merges its splits, if it may. */
import type { DeviceLimits, Kernel, Plan, Variant } from "../core/variant.ts";
import { CACHE_ROWS, MOST_GROUP, type Params, ranges } from "../core/problem/constants.ts";
import { refusesPages } from "../core/problem/pages.ts";
import { splitsFor } from "../dense/split.ts";
import { dispatch } from "../core/dispatch.ts";
import { specs } from "../core/layout.ts";
import { listCapacity, queriesPerRow } from "../core/problem/derived.ts";
import type { Problem } from "../core/problem/problem.ts";
import {
  headsFor,
  lanesFor,
  LIST_HEADS,
  refusesHeads,
  refusesShuffledRows,
  ROW_SPLIT_RANGES,
  ROW_SPLIT_TUNABLES,
} from "../core/row_split.ts";
import {
  gatherCost,
  gatherPagesCost,
  type ListEntries,
  listParams,
  PAGE_BITS_RANGE,
  PAGE_LISTS,
  TOKEN_LISTS,
} from "./gather.ts";
import { defineKernel, defineVariant } from "../core/define.ts";
import {
  HAND_OVER_CODE,
  handOverParam,
  handOverSpec,
  joinSplits,
  refusesHandOver,
} from "../merge/hand_over.ts";
import source from "./gather_merge.wgsl" with { type: "text" };

/** `gather_merge.wgsl`. */
export const gatherMergeKernel: Kernel = defineKernel({
  name: "attend/gather_merge",
  source,
  params: {
    ...ranges("HEAD_DIM", "BATCH", "GROUP", "QUERIES_PER_LIST", "SEQUENCE_LISTS", "LIST_CAPACITY"),
    ...ranges("CAPACITY", "PREFIX", "KV_DTYPE"),
    ...ranges(...CACHE_ROWS),
    HEADS: { min: 1, max: MOST_GROUP },
    ...ROW_SPLIT_RANGES,
    PREFETCH: [0, 1],
    SPLITS: { min: 1, max: 1024 },
    HAND_OVER: Object.values(HAND_OVER_CODE),
    PAGE_BITS: PAGE_BITS_RANGE,
  },
  features: ["subgroups"],
});

function refuses(p: Problem, params: Params, limits: DeviceLimits): string | undefined {
  const { WORKGROUP: workgroup } = params;
  if (workgroup < p.headDim / 4) {
    return `${workgroup} threads are too few for a row of ${p.headDim}`;
  }
  return refusesHeads(queriesPerRow(p), params) ?? refusesHandOver(params, limits) ??
    refusesShuffledRows(p, params, limits);
}

function plan(p: Problem, params: Params, entries: ListEntries): Plan {
  const [selected, selected_counts] = entries.names;
  const { HEADS: heads, SPLITS: splits } = params;
  const lists = p.qHeads / heads;
  const join = joinSplits(p, params, heads);
  return {
    buffers: {
      ...specs(p, "input", "lengths", "q", "keys", "values", "sink_logits"),
      ...entries.specs(p, "input", selected, selected_counts),
      ...handOverSpec(p, { lists: p.batch * lists, heads, splits }),
      ...join.buffers,
      ...specs(p, "output", "out"),
    },
    dispatches: [
      dispatch(
        gatherMergeKernel,
        p,
        { ...params, ...listParams(p, entries) },
        [splits, lists, p.batch],
        { selected, selected_counts },
      ),
      ...join.dispatches,
    ],
  };
}

/** Default parameters of a variant: the largest workgroup that the device holds. */
function defaults(p: Problem, limits: DeviceLimits, { refuses }: Variant): Params {
  const long = p.capacity > 65536;
  const shared = queriesPerRow(p) > 1;
  const HEADS = headsFor(queriesPerRow(p));
  const paramsFor = (WORKGROUP: number): Params => ({
    WORKGROUP,
    LANES: lanesFor(p, Math.min(shared || long ? 16 : 8, limits.subgroupMinSize ?? 4), HEADS),
    TOKENS: long ? 4 : 2,
    HEADS,
    PREFETCH: 0,
    HAND_OVER: handOverParam(limits),
    SPLITS: splitsFor(p, p.qHeads / HEADS, listCapacity(p), 256),
  });
  // With long rows, large workgroups exceed the memory of a small device.
  const most = shared || long ? 256 : 128;
  const settings = [256, 128, 64].filter((threads) => threads <= most).map(paramsFor);
  return settings.find((params) => !refuses(p, params, limits)) ?? settings[0];
}

/** Gathered attention with merge, for devices with subgroups. */
export const gatherMerge: Variant = defineVariant({
  name: "attend/gather_merge",
  stage: "attend",
  description: "gathers selected rows in splits of the list, the last workgroup merges if it may",
  tunables: {
    ...ROW_SPLIT_TUNABLES,
    HEADS: LIST_HEADS,
    PREFETCH: [0, 1],
    SPLITS: [4, 8, 16, 32, 64],
  },
  features: ["subgroups"],
  sharedPrefix: "also",
  defaults: (p, limits) => defaults(p, limits, gatherMerge),
  refuses,
  plan: (p, params) => plan(p, params, TOKEN_LISTS),
  cost: gatherCost,
});

/** The same over pages. */
export const gatherMergePages: Variant = defineVariant({
  ...gatherMerge,
  name: "attend/gather_merge_pages",
  description: "attend/gather_merge over pages of 16 tokens",
  defaults: (p, limits) => defaults(p, limits, gatherMergePages),
  refuses: (p, params, limits) => refusesPages(p) ?? refuses(p, params, limits),
  plan: (p, params) => plan(p, params, PAGE_LISTS),
  cost: gatherPagesCost,
});
