/** Gathered decode attention that sums dot products by subgroup shuffles. */
import type { Kernel, Variant } from "../core/variant.ts";
import { splitsFor } from "../dense/split.ts";
import { listCapacity, queriesPerRow } from "../core/problem/derived.ts";
import {
  headsFor,
  lanesFor,
  LIST_HEADS,
  refusesHeads,
  refusesShuffledRows,
  ROW_SPLIT_TUNABLES,
} from "../core/row_split.ts";
import { GATHER_SPLITS, gatherCost, gatherKernel, gatherPlan } from "./gather.ts";
import { defineKernel, defineVariant } from "../core/define.ts";
import source from "./gather_subgroup.wgsl" with { type: "text" };

/** `gather_subgroup.wgsl`, with the bindings and parameters of `gather.wgsl`. */
export const gatherSubgroupKernel: Kernel = defineKernel({
  ...gatherKernel,
  name: "attend/gather_subgroup",
  source,
  features: ["subgroups"],
});

/** Gathered attention for devices with subgroups. */
export const gatherSubgroup: Variant = defineVariant({
  name: "attend/gather_subgroup",
  stage: "attend",
  description: "gathers selected rows in splits of the list, sums dots by subgroup shuffles",
  tunables: { ...ROW_SPLIT_TUNABLES, HEADS: LIST_HEADS, SPLITS: GATHER_SPLITS },
  features: ["subgroups"],
  sharedPrefix: "also",
  defaults(p, limits) {
    const HEADS = headsFor(queriesPerRow(p));
    return {
      WORKGROUP: 128,
      LANES: lanesFor(p, Math.min(16, limits.subgroupMinSize ?? 4), HEADS),
      TOKENS: HEADS > 4 ? 2 : 4,
      HEADS,
      SPLITS: splitsFor(p, p.qHeads / HEADS, listCapacity(p), 512),
    };
  },
  refuses: (p, params, limits) =>
    refusesHeads(queriesPerRow(p), params) ?? refusesShuffledRows(p, params, limits),
  plan: (p, params) => gatherPlan(gatherSubgroupKernel, p, params),
  cost: gatherCost,
});
