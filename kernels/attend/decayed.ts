/** Decode attention with a decay for each token (FoX), over the tokens that are not pruned (ACP). */
import type { Cost, DeviceLimits, Kernel, Params, Plan, Variant } from "../core/variant.ts";
import { defineKernel, defineVariant } from "../core/define.ts";
import { dispatch, specs } from "../core/layout.ts";
import { groupSize, kvBytes, type Problem } from "../core/problem.ts";
import { decayKernel, decaySpecs, suffixTokens } from "../encode/decay.ts";
import { denseSplitSubgroup, splitSubgroupKernel } from "../dense/split_subgroup.ts";
import { handOverSpec, joinSplits, listsPerKvHead } from "../merge/hand_over.ts";
import source from "./decayed.wgsl" with { type: "text" };

/** `decayed.wgsl`, with the parameters of `dense/split_subgroup.wgsl`. */
export const decayedKernel: Kernel = defineKernel({
  name: "attend/decayed",
  source,
  params: {
    ...splitSubgroupKernel.params,
    DECAY_BLOCK: decayKernel.params.DECAY_BLOCK,
    PRUNE: [0, 1],
  },
  features: ["subgroups"],
});

/** Least traffic and arithmetic: reads K, V and the decays of the tokens that are left, writes o. */
function decayedCost(p: Problem, params: Params): Cost {
  const tokens = suffixTokens(p, params);
  const qBytes = p.batch * p.qHeads * p.headDim * 4;
  return {
    streamBytes: tokens * (2 * p.kvHeads * p.headDim * kvBytes(p.dtype) + 4 * p.qHeads) + qBytes,
    gatherBytes: 0,
    writeBytes: qBytes,
    flops: 4 * tokens * p.qHeads * p.headDim,
  };
}

function plan(p: Problem, params: Params): Plan {
  const { HEADS: heads, SPLITS: splits } = params;
  const lists = p.kvHeads * listsPerKvHead(p, heads);
  const join = joinSplits(p, params, heads);
  const { decays, block_decays } = decaySpecs(p, params, "input");
  return {
    buffers: {
      ...specs(p, "input", "lengths", "q", "keys", "values", "sink_logits"),
      decays,
      block_decays,
      ...handOverSpec(p, { lists: p.batch * lists, heads, splits }),
      ...join.buffers,
      ...specs(p, "output", "out"),
    },
    dispatches: [dispatch(decayedKernel, p, params, [splits, lists, p.batch]), ...join.dispatches],
  };
}

/** The parameters of dense attention: workgroups do not share out tokens of several sequences. */
function asDense(params: Params): Params {
  return { ...params, SHARED: 0 };
}

/** The problem whose dense defaults suit: that of sequences of equal length. */
function asEven(p: Problem): Problem {
  return { ...p, ragged: false };
}

const { SHARED: _, ...TUNABLES } = denseSplitSubgroup.tunables;

/** Attention with decays. Only the steps of systems run it. */
export const decayed: Variant = defineVariant({
  name: "attend/decayed",
  stage: "attend",
  description: "split-KV with a decay for each token, from the first token that is not pruned on",
  tunables: TUNABLES,
  features: ["subgroups"],
  defaults(p: Problem, limits: DeviceLimits): Params {
    const { SHARED: _, ...params } = denseSplitSubgroup.defaults(asEven(p), limits);
    return groupSize(p) > 4 ? { ...params, PREFETCH: 0 } : params;
  },
  refuses: (p, params, limits) => denseSplitSubgroup.refuses(p, asDense(params), limits),
  plan,
  cost: decayedCost,
});
