/** Counting select with subgroup scans. */
import type { Kernel, Variant } from "../core/variant.ts";
import type { Params } from "../core/problem/constants.ts";
import type { Problem } from "../core/problem/problem.ts";
import {
  COUNTING_TUNABLES,
  countingDefaults,
  countingKernel,
  countingPlan,
  selectCost,
} from "./counting.ts";
import { defineKernel, defineVariant } from "../core/define.ts";
import source from "./counting_subgroup.wgsl" with { type: "text" };

/** `counting_subgroup.wgsl`, with the bindings of `counting.wgsl`. */
export const countingSubgroupKernel: Kernel = defineKernel({
  ...countingKernel,
  name: "select/counting_subgroup",
  source,
  params: { ...countingKernel.params, SUBGROUP_MIN: [4, 8, 16, 32, 64, 128] },
  features: ["subgroups"],
});

function refuses(_: Problem, params: Params): string | undefined {
  const { WORKGROUP: workgroup, SUBGROUP_MIN: subgroup } = params;
  if (workgroup < subgroup) return `${workgroup} threads do not fill a subgroup of ${subgroup}`;
}

/** Exact select by counting, for devices with subgroups. */
export const countingSubgroup: Variant = defineVariant({
  name: "select/counting_subgroup",
  stage: "select",
  description: "counting select with subgroup scans, which need only 3 barriers",
  tunables: COUNTING_TUNABLES,
  features: ["subgroups"],
  sharedPrefix: "also",
  defaults: (p, limits) => ({
    ...countingDefaults(p, limits),
    SUBGROUP_MIN: limits.subgroupMinSize ?? 4,
  }),
  refuses,
  plan: (p, params) => countingPlan(countingSubgroupKernel, p, params),
  cost: (p, params) => selectCost(p, params.BLOCK),
});
