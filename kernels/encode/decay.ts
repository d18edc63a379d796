/** The decay of attention by forget gates, and the tokens that it leaves (FoX, ACP). */
import type { BufferRole, BufferSpec, Cost, Kernel, Params, Variant } from "../core/variant.ts";
import { defineKernel, defineVariant } from "../core/define.ts";
import { dispatch, ranges, specs } from "../core/layout.ts";
import { cachedTokens, kvBytes, overSequences, type Problem } from "../core/problem.ts";
import source from "./decay.wgsl" with { type: "text" };

/** Settings of the Forgetting Transformer without and with pruning. */
export const FOX = { DECAY_BLOCK: 128, PRUNE: 0 } as const satisfies Params;

/** The same with pruning, in blocks of as many tokens as its authors take for decoding. */
export const ACP = { ...FOX, PRUNE: 1 } as const satisfies Params;

/**
 * Tokens that heads remember in what is timed: how many are left after pruning depends on gates,
 * and gates are trained.
 */
export const TIMED_SUFFIX = 4096;

/** `decay.wgsl`. */
export const decayKernel: Kernel = defineKernel({
  name: "encode/decay",
  source,
  params: {
    ...ranges("HEAD_DIM", "GROUP", "Q_HEADS", "CAPACITY", "KV_DTYPE"),
    DECAY_BLOCK: [16, 32, 64, 128, 256],
    WORKGROUP: [64, 128, 256, 512],
    AHEAD: [1, 2, 4, 8],
  },
});

/** Blocks of a sequence's cache. */
export function decayBlocks(p: Problem, { DECAY_BLOCK }: Params): number {
  return Math.ceil(p.capacity / DECAY_BLOCK);
}

/** Kept between steps: the decays of all tokens, to which a step adds the newest gate. */
export const DECAY_KEPT = ["decay_state", "decays", "block_decays"] as const;

/** Specs of the kept buffers. */
export function decaySpecs(
  p: Problem,
  params: Params,
  role: BufferRole,
): Record<string, BufferSpec> {
  const heads = p.batch * p.qHeads;
  return {
    decay_state: { bytes: 8 * heads * (params.DECAY_BLOCK + 2), role },
    decays: { bytes: 4 * heads * p.capacity, role },
    block_decays: { bytes: 8 * heads * (decayBlocks(p, params) + 1), role },
  };
}

/** Tokens that the steps of timed inputs attend, of all sequences together. */
export function suffixTokens(p: Problem, { PRUNE }: Params): number {
  return PRUNE === 0
    ? cachedTokens(p)
    : overSequences(p, (length) => Math.min(length, TIMED_SUFFIX));
}

/** Least traffic: reads the block of the newest token and the decays of the blocks. */
function decayCost(p: Problem, params: Params): Cost {
  const heads = p.batch * p.qHeads;
  const state = 4 * heads * (params.DECAY_BLOCK + 2);
  const blocks = overSequences(p, (length) => Math.ceil(length / params.DECAY_BLOCK));
  const keyBytes = p.batch * p.kvHeads * p.headDim * kvBytes(p.dtype);
  return {
    streamBytes: state + 4 * p.qHeads * blocks + 4 * heads * (p.headDim + 1) + keyBytes,
    gatherBytes: 0,
    writeBytes: 2 * state + 8 * p.qHeads * blocks,
    flops: 0,
  };
}

/** Appends gates. Only the steps of systems run it. */
export const decay: Variant = defineVariant({
  name: "encode/decay",
  stage: "encode_append",
  description: "appends the newest forget gate, finds the tokens that are not decayed",
  tunables: { WORKGROUP: [128, 256, 512], AHEAD: [1, 2, 4, 8] },
  features: [],
  defaults: (_, limits) => ({
    WORKGROUP: Math.min(256, limits.maxComputeInvocationsPerWorkgroup),
    AHEAD: 4,
  }),
  refuses: () => undefined,
  plan: (p, params) => ({
    buffers: {
      ...specs(p, "input", "lengths", "q", "keys"),
      log_gates: { bytes: 4 * p.batch * p.qHeads, role: "input" },
      ...decaySpecs(p, params, "output"),
    },
    dispatches: [dispatch(decayKernel, p, params, [p.qHeads, p.batch, 1])],
  }),
  cost: decayCost,
});
