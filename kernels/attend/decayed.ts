/** Decode attention with forget gates (FoX), over the tokens that are not pruned (ACP). */
import type { BufferSpec, Cost, DeviceLimits, Kernel, Plan, Variant } from "../core/variant.ts";
import type { Params } from "../core/problem/constants.ts";
import { defineKernel, defineVariant } from "../core/define.ts";
import { dispatch } from "../core/dispatch.ts";
import { specs } from "../core/layout.ts";
import { cachedTokens, kvBytes, overSequences } from "../core/problem/derived.ts";
import type { Problem } from "../core/problem/problem.ts";
import { denseSplitSubgroup, splitSubgroupKernel } from "../dense/split_subgroup.ts";
import { handOverSpec, joinSplits, listsPerKvHead } from "../merge/hand_over.ts";
import source from "./decayed.wgsl" with { type: "text" };

/** Settings of the Forgetting Transformer without pruning. */
export const FOX = { DECAY_BLOCK: 128, PRUNE: 0 } as const satisfies Params;

/** The same with pruning, in blocks of as many tokens as its authors take for decoding. */
export const ACP = { ...FOX, PRUNE: 1 } as const satisfies Params;

/**
 * Tokens that heads remember in what is timed: how many are left after pruning depends on gates,
 * and gates are trained.
 */
export const TIMED_SUFFIX = 4096;

/** Tokens per block of decays. */
export const DECAY_BLOCKS: readonly number[] = [16, 32, 64, 128, 256];

/** `decayed.wgsl`, with the parameters of `dense/split_subgroup.wgsl`. */
export const decayedKernel: Kernel = defineKernel({
  name: "attend/decayed",
  source,
  params: { ...splitSubgroupKernel.params, DECAY_BLOCK: DECAY_BLOCKS, PRUNE: [0, 1] },
  features: ["subgroups"],
});

/** Blocks of a sequence's cache. */
export function decayBlocks(p: Problem, { DECAY_BLOCK }: Params): number {
  return Math.ceil(p.capacity / DECAY_BLOCK);
}

/** Specs of the gates, and of the decays of all tokens, to which a step adds the newest gate. */
export function decaySpecs(p: Problem, params: Params): Record<string, BufferSpec> {
  const heads = p.batch * p.qHeads;
  return {
    log_gates: { bytes: 16 * Math.ceil(heads / 4), role: "input", uniform: true },
    decay_state: { bytes: 8 * heads * (params.DECAY_BLOCK + 2), role: "input" },
    decays: { bytes: 4 * heads * p.capacity, role: "input" },
    block_decays: { bytes: 4 * heads * (decayBlocks(p, params) + 2), role: "input" },
  };
}

/**
 * Least traffic and arithmetic: reads K, V and the decays of the tokens that are left (of the timed
 * inputs) and the newest block's state, writes that and o.
 */
export function decayedCost(p: Problem, { DECAY_BLOCK, PRUNE }: Params): Cost {
  const tokens = PRUNE === 0
    ? cachedTokens(p)
    : overSequences(p, (length) => Math.min(length, TIMED_SUFFIX));
  const qBytes = p.batch * p.qHeads * p.headDim * 4;
  const state = 4 * p.batch * p.qHeads * (DECAY_BLOCK + 2);
  const rows = tokens * (2 * p.kvHeads * p.headDim * kvBytes(p.dtype) + 4 * p.qHeads);
  return {
    streamBytes: rows + qBytes + state,
    gatherBytes: 0,
    writeBytes: qBytes + 2 * state,
    flops: 4 * tokens * p.qHeads * p.headDim,
  };
}

function plan(p: Problem, params: Params): Plan {
  const { HEADS: heads, SPLITS: splits } = params;
  const lists = p.kvHeads * listsPerKvHead(p, heads);
  const join = joinSplits(p, params, heads);
  return {
    buffers: {
      ...specs(p, "input", "lengths", "q", "keys", "values", "sink_logits"),
      ...decaySpecs(p, params),
      ...handOverSpec(p, { lists: p.batch * lists, heads, splits }),
      ...join.buffers,
      ...specs(p, "output", "out"),
    },
    dispatches: [dispatch(decayedKernel, p, params, [splits, lists, p.batch]), ...join.dispatches],
  };
}

/** The reason that workgroups cannot go through blocks of decays; undefined if they can. */
export function refusesBlocks(params: Params): string | undefined {
  const { DECAY_BLOCK: block, WORKGROUP, LANES, TOKENS, HEADS } = params;
  const tile = WORKGROUP / LANES * TOKENS;
  if (block % tile !== 0) return `tiles of ${tile} tokens do not divide blocks of ${block}`;
  if (HEADS > WORKGROUP) return `${WORKGROUP} threads are too few for ${HEADS} query heads`;
}

function refuses(p: Problem, params: Params, limits: DeviceLimits): string | undefined {
  return refusesBlocks(params) ??
    denseSplitSubgroup.refuses(p, { ...params, SHARED: 0 }, limits);
}

const { SHARED: _, ...TUNABLES } = denseSplitSubgroup.tunables;

/** Attention with decays. Only the steps of systems run it. */
export const decayed: Variant = defineVariant({
  name: "attend/decayed",
  stage: "attend",
  description: "split-KV with a decay for each token, from the newest to where it is pruned",
  tunables: TUNABLES,
  features: ["subgroups"],
  defaults(p: Problem, limits: DeviceLimits): Params {
    // Workgroups do not share out the tokens of several sequences.
    const dense = denseSplitSubgroup.defaults({ ...p, ragged: false }, limits);
    const { SHARED: _, ...params } = dense;
    const settings = [params.WORKGROUP, 128, 64].flatMap((WORKGROUP) =>
      [2, 1].map((TOKENS) => ({ ...params, WORKGROUP, TOKENS }))
    );
    return settings.find((each) => !decayed.refuses(p, { ...ACP, ...each }, limits)) ?? params;
  },
  refuses,
  plan,
  cost: decayedCost,
});
