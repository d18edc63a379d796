/** Exact scores, added up by subgroup shuffles. */
import type { DeviceLimits, Kernel, Variant } from "../core/variant.ts";
import type { Params } from "../core/problem/constants.ts";
import { defineKernel, defineVariant } from "../core/define.ts";
import { dispatch } from "../core/dispatch.ts";
import { groupSize } from "../core/problem/derived.ts";
import type { Problem } from "../core/problem/problem.ts";
import { lanesFor, refusesShuffledRows, ROW_SPLIT_TUNABLES } from "../core/row_split.ts";
import { splitsFor } from "../dense/split.ts";
import { dot, dotBuffers, dotKernel, refusesGroup } from "./dot.ts";
import source from "./dot_subgroup.wgsl" with { type: "text" };

/** `dot_subgroup.wgsl`. */
export const dotSubgroupKernel: Kernel = defineKernel({
  name: "score/dot_subgroup",
  source,
  params: { ...dotKernel.params, SPLITS: { min: 1, max: 65535 } },
  features: ["subgroups"],
});

function defaults(p: Problem, limits: DeviceLimits): Params {
  return {
    WORKGROUP: 128,
    LANES: lanesFor(p, Math.min(16, limits.subgroupMinSize ?? 4)),
    TOKENS: [4, 2].find((tokens) => tokens * groupSize(p) <= 16) ?? 1,
    // About eight workgroups for each multiprocessor of a large GPU.
    SPLITS: splitsFor(p, p.kvHeads, p.capacity, 1056),
  };
}

/** Exact scores, for devices with subgroups. */
export const dotSubgroup: Variant = defineVariant({
  name: "score/dot_subgroup",
  stage: "score",
  description: "f32 scores: q.K of every token; subgroup shuffles add up and share out the dots",
  tunables: { ...ROW_SPLIT_TUNABLES, SPLITS: [33, 66, 132, 264, 528] },
  features: ["subgroups"],
  defaults,
  refuses: (p, params, limits) => refusesGroup(p) ?? refusesShuffledRows(p, params, limits),
  plan: (p, params) => ({
    buffers: dotBuffers(p),
    dispatches: [dispatch(dotSubgroupKernel, p, params, [params.SPLITS, p.kvHeads, p.batch])],
  }),
  cost: dot.cost,
});
