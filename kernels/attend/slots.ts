/** Decode attention of heads that keep some tokens each (MoSA). */
import type { Cost, DeviceLimits, Kernel, Plan, Variant } from "../core/variant.ts";
import { type Params, ranges } from "../core/problem/constants.ts";
import { defineKernel, defineVariant } from "../core/define.ts";
import { dispatch } from "../core/dispatch.ts";
import { specs } from "../core/layout.ts";
import { cachedTokens, kvBytes, overSequences } from "../core/problem/derived.ts";
import type { Problem } from "../core/problem/problem.ts";
import {
  lanesFor,
  refusesShuffledRows,
  ROW_SPLIT_RANGES,
  ROW_SPLIT_TUNABLES,
} from "../core/row_split.ts";
import { refusesHeads, routeKernel, routeSpec, slotSpecs } from "../encode/route.ts";
import { slotsOf } from "../encode/route_reference.ts";
import { splitsFor } from "../dense/split.ts";
import {
  HAND_OVER_CODE,
  handOverParam,
  handOverSpec,
  joinSplits,
  refusesHandOver,
} from "../merge/hand_over.ts";
import source from "./slots.wgsl" with { type: "text" };

/** `slots.wgsl`. */
export const slotsKernel: Kernel = defineKernel({
  name: "attend/slots",
  source,
  params: {
    ...ranges("HEAD_DIM", "BATCH", "Q_HEADS", "CAPACITY", "KV_DTYPE"),
    MOSA_SPARSITY: routeKernel.params.MOSA_SPARSITY,
    DENSE_HEADS: routeKernel.params.DENSE_HEADS,
    HEADS: { min: 1, max: 32 },
    ...ROW_SPLIT_RANGES,
    PREFETCH: [0, 1],
    SPLITS: { min: 1, max: 1024 },
    HAND_OVER: Object.values(HAND_OVER_CODE),
  },
  features: ["subgroups"],
});

/**
 * Least traffic and arithmetic: reads K and V of the dense heads, and of as many sparse heads as
 * take a token on average: of MOSA_SPARSITY heads one that grows, and one by its score.
 */
export function slotsCost(p: Problem, { MOSA_SPARSITY, DENSE_HEADS }: Params): Cost {
  const slots = overSequences(p, (length) => slotsOf(length, MOSA_SPARSITY, 0));
  const sparse = Math.min(1, 2 / MOSA_SPARSITY) * (p.qHeads - DENSE_HEADS) * slots;
  const rows = Math.round(DENSE_HEADS * cachedTokens(p) + sparse);
  const qBytes = p.batch * p.qHeads * p.headDim * 4;
  return {
    streamBytes: rows * 2 * p.headDim * kvBytes(p.dtype) + Math.round(8 * sparse) + qBytes,
    gatherBytes: 0,
    writeBytes: qBytes,
    flops: 4 * rows * p.headDim,
  };
}

function refuses(p: Problem, params: Params, limits: DeviceLimits): string | undefined {
  return refusesHeads(p, params) ?? refusesHandOver(params, limits) ??
    refusesShuffledRows(p, params, limits);
}

function plan(p: Problem, params: Params): Plan {
  const { SPLITS: splits } = params;
  const join = joinSplits(p, { ...params, HEADS: 1 }, 1);
  return {
    buffers: {
      ...specs(p, "input", "lengths", "q", "sink_logits"),
      ...slotSpecs(p, params),
      ...routeSpec(p, "input"),
      ...handOverSpec(p, { lists: p.batch * p.qHeads, heads: 1, splits }),
      ...join.buffers,
      ...specs(p, "output", "out"),
    },
    dispatches: [
      dispatch(slotsKernel, p, params, [splits, Math.ceil(p.qHeads / params.HEADS), p.batch]),
      ...join.dispatches,
    ],
  };
}

/** Attention over slots. Only the steps of systems run it. */
export const slots: Variant = defineVariant({
  name: "attend/slots",
  stage: "attend",
  description: "attends the slots of the heads that take the newest token, times its r",
  tunables: {
    ...ROW_SPLIT_TUNABLES,
    PREFETCH: [0, 1],
    HEADS: [1, 4, 8, 16, 32],
    SPLITS: [16, 32, 64, 128, 256],
  },
  features: ["subgroups"],
  defaults(p, limits) {
    // Few heads take a token. Enough workgroups share the slots of each.
    const paramsFor = (WORKGROUP: number): Params => ({
      WORKGROUP,
      LANES: lanesFor(p, Math.min(16, limits.subgroupMinSize ?? 4)),
      TOKENS: 2,
      PREFETCH: 1,
      HEADS: 1,
      SPLITS: splitsFor(p, 1, p.capacity, 32),
      HAND_OVER: handOverParam(limits),
    });
    const settings = [256, 128, 64].map(paramsFor);
    const alone = { MOSA_SPARSITY: 1, DENSE_HEADS: 0 };
    return settings.find((each) => !slots.refuses(p, { ...alone, ...each }, limits)) ?? settings[2];
  },
  refuses,
  plan,
  cost: slotsCost,
});
