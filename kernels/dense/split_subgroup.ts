/** Dense split-KV decode whose dot products are summed by subgroup shuffles. */
import type { Contender, Kernel } from "../contender.ts";
import { groupSize } from "../problem.ts";
import { lanesFor, refusesRowSplit, ROW_SPLIT_TUNABLES } from "../row_split.ts";
import { DENSE_SPLITS, denseCost, splitKernel, splitPlan, splitsFor } from "./split.ts";
import source from "./split_subgroup.wgsl" with { type: "text" };

/** `split_subgroup.wgsl`: the bindings and parameters of `split.wgsl`. */
export const splitSubgroupKernel: Kernel = {
  ...splitKernel,
  name: "dense/split_subgroup",
  source,
  features: ["subgroups"],
};

/** Dense decode for devices with subgroups. */
export const denseSplitSubgroup: Contender = {
  name: "dense/split_subgroup",
  stage: "dense",
  description: "split-KV decode, K and V read once per GQA group, dots summed by subgroup shuffles",
  tunables: { ...ROW_SPLIT_TUNABLES, SPLITS: DENSE_SPLITS },
  features: ["subgroups"],
  defaults: (p, limits) => ({
    WORKGROUP: 128,
    LANES: lanesFor(p, Math.min(16, limits.subgroupMinSize ?? 4)),
    TOKENS: groupSize(p) > 4 ? 2 : 4,
    SPLITS: splitsFor(p, p.kvHeads, p.capacity, 528),
  }),
  refuses: (p, params, limits) =>
    refusesRowSplit(p, params, limits, { queries: groupSize(p), subgroups: true }),
  plan: (p, params) => splitPlan(splitSubgroupKernel, p, params),
  cost: denseCost,
};
