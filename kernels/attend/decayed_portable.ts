/** Decode attention with forget gates for devices without subgroups. */
import type { DeviceLimits, Kernel, Plan, Variant } from "../core/variant.ts";
import { CACHE_ROWS, MOST_GROUP, type Params, ranges } from "../core/problem/constants.ts";
import { defineKernel, defineVariant } from "../core/define.ts";
import { dispatch } from "../core/dispatch.ts";
import { specs } from "../core/layout.ts";
import { groupSize } from "../core/problem/derived.ts";
import type { Problem } from "../core/problem/problem.ts";
import {
  headsFor,
  lanesFor,
  LIST_HEADS,
  refusesHeads,
  refusesRowSplit,
  ROW_SPLIT_RANGES,
  ROW_SPLIT_TUNABLES,
  tokensFor,
} from "../core/row_split.ts";
import { DENSE_SPLITS, splitsFor } from "../dense/split.ts";
import { HAND_OVER_CODE, handOverSpec, joinSplits } from "../merge/hand_over.ts";
import { ACP, DECAY_BLOCKS, decayedCost, decaySpecs, refusesBlocks } from "./decayed.ts";
import source from "./decayed_portable.wgsl" with { type: "text" };

/** `decayed_portable.wgsl`. */
export const decayedPortableKernel: Kernel = defineKernel({
  name: "attend/decayed_portable",
  source,
  params: {
    ...ranges("HEAD_DIM", "BATCH", "GROUP", "KV_HEADS", "CAPACITY", "KV_DTYPE"),
    ...ranges(...CACHE_ROWS),
    HEADS: { min: 1, max: MOST_GROUP },
    DECAY_BLOCK: DECAY_BLOCKS,
    PRUNE: [0, 1],
    ...ROW_SPLIT_RANGES,
    SPLITS: { min: 1, max: 1024 },
  },
});

function plan(p: Problem, params: Params): Plan {
  const { HEADS: heads, SPLITS: splits } = params;
  const lists = p.qHeads / heads;
  const join = joinSplits(p, { ...params, HAND_OVER: HAND_OVER_CODE.dispatch }, heads);
  return {
    buffers: {
      ...specs(p, "input", "lengths", "q", "keys", "values", "sink_logits"),
      ...decaySpecs(p, params),
      ...handOverSpec(p, { lists: p.batch * lists, heads, splits }),
      ...join.buffers,
      ...specs(p, "output", "out"),
    },
    dispatches: [
      dispatch(decayedPortableKernel, p, params, [splits, lists, p.batch]),
      ...join.dispatches,
    ],
  };
}

/** Portable attention with decays. Only the steps of systems run it. */
export const decayedPortable: Variant = defineVariant({
  name: "attend/decayed_portable",
  stage: "attend",
  description: "split-KV with a decay for each token, sums dots in workgroup memory",
  tunables: { ...ROW_SPLIT_TUNABLES, HEADS: LIST_HEADS, SPLITS: DENSE_SPLITS },
  features: [],
  defaults(p: Problem, limits: DeviceLimits): Params {
    // Small lists take little workgroup memory, and few tokens divide a block.
    const settings = [4, 2, 1].flatMap((most) => {
      const HEADS = headsFor(groupSize(p), most);
      return [tokensFor(HEADS, 128), 2, 1].map((TOKENS) => ({
        WORKGROUP: 128,
        LANES: lanesFor(p, 16, HEADS),
        TOKENS,
        HEADS,
        SPLITS: splitsFor(p, p.qHeads / HEADS, p.capacity, 256),
      }));
    });
    return settings.find((each) => !decayedPortable.refuses(p, { ...ACP, ...each }, limits)) ??
      settings[settings.length - 1];
  },
  refuses: (p, params) =>
    refusesBlocks(params) ?? refusesHeads(groupSize(p), params) ?? refusesRowSplit(p, params),
  plan,
  cost: decayedCost,
});
