/** Gathered decode attention that sums dot products by subgroup shuffles. */
import type { Kernel, Variant } from "../core/variant.ts";
import { splitsFor } from "../dense/split.ts";
import { listCapacity, listHeads, queriesPerList } from "../core/problem.ts";
import { lanesFor, refusesShuffledRows, ROW_SPLIT_TUNABLES } from "../core/row_split.ts";
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
  tunables: { ...ROW_SPLIT_TUNABLES, SPLITS: GATHER_SPLITS },
  features: ["subgroups"],
  defaults: (p, limits) => ({
    WORKGROUP: 128,
    LANES: lanesFor(p, Math.min(16, limits.subgroupMinSize ?? 4)),
    TOKENS: queriesPerList(p) > 4 ? 2 : 4,
    SPLITS: splitsFor(p, listHeads(p), listCapacity(p), 512),
  }),
  refuses: refusesShuffledRows,
  plan: (p, params) => gatherPlan(gatherSubgroupKernel, p, params),
  cost: gatherCost,
});
