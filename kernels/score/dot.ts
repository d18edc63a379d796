/** Exact scores: the dot products of queries and keys, which read every key. */
import type { BufferSpec, Cost, DeviceLimits, Kernel, Variant } from "../core/variant.ts";
import { type Params, ranges } from "../core/problem/constants.ts";
import { defineKernel, defineVariant } from "../core/define.ts";
import { dispatch } from "../core/dispatch.ts";
import { systemSpecs } from "../core/system_layout.ts";
import { cachedTokens, groupSize, kvBytes } from "../core/problem/derived.ts";
import type { Problem } from "../core/problem/problem.ts";
import {
  lanesFor,
  refusesRowSplit,
  ROW_SPLIT_RANGES,
  ROW_SPLIT_TUNABLES,
  tokensFor,
} from "../core/row_split.ts";
import source from "./dot.wgsl" with { type: "text" };

/** `dot.wgsl`. */
export const dotKernel: Kernel = defineKernel({
  name: "score/dot",
  source,
  params: {
    ...ranges("HEAD_DIM", "GROUP", "KV_HEADS", "CAPACITY", "KV_DTYPE"),
    ...ROW_SPLIT_RANGES,
  },
});

/** Least traffic and arithmetic: reads K and q once, writes a score for each query head. */
function dotCost(p: Problem): Cost {
  const rows = p.kvHeads * cachedTokens(p);
  return {
    streamBytes: rows * p.headDim * kvBytes(p.dtype) + 4 * p.batch * p.qHeads * p.headDim,
    gatherBytes: 0,
    writeBytes: 4 * rows * groupSize(p),
    flops: 2 * rows * groupSize(p) * p.headDim,
  };
}

/** Most query heads whose queries a thread holds in registers. */
const MOST_HEADS = 16;

/** The reason that query heads cannot have scores of their own; undefined if they can. */
export function refusesGroup(p: Problem): string | undefined {
  if (p.sharing === "group") return "it scores each query head, and here a group shares its scores";
  if (groupSize(p) > MOST_HEADS) {
    return `it scores groups of at most ${MOST_HEADS} query heads, and these have ${groupSize(p)}`;
  }
}

/** Buffers of exact scores. */
export function dotBuffers(p: Problem): Record<string, BufferSpec> {
  return {
    ...systemSpecs(p, "input", "lengths", "q", "keys"),
    ...systemSpecs(p, "output", "scores"),
  };
}

/** Exact scores. */
export const dot: Variant = defineVariant({
  name: "score/dot",
  stage: "score",
  description: "f32 scores: q.K of every token; reads K once per GQA group",
  tunables: ROW_SPLIT_TUNABLES,
  features: [],
  defaults(p: Problem, _limits: DeviceLimits): Params {
    const TOKENS = tokensFor(groupSize(p), 128);
    return { WORKGROUP: 128, LANES: lanesFor(p, 16), TOKENS };
  },
  refuses: (p, params) => refusesGroup(p) ?? refusesRowSplit(p, params),
  plan(p, params) {
    const tile = params.WORKGROUP / params.LANES * params.TOKENS;
    return {
      buffers: dotBuffers(p),
      dispatches: [
        dispatch(dotKernel, p, params, [Math.ceil(p.capacity / tile), p.kvHeads, p.batch]),
      ],
    };
  },
  cost: dotCost,
});
