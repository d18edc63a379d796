/** Joins the partials of a split attention (FlashDecoding's reduction). */
import type { Cost, Dispatch, Kernel, Variant } from "../core/variant.ts";
import { type Params, ranges } from "../core/problem/constants.ts";
import { dispatch } from "../core/dispatch.ts";
import { partialSpecs, specs } from "../core/layout.ts";
import type { Problem } from "../core/problem/problem.ts";
import { defineKernel, defineVariant } from "../core/define.ts";
import source from "./merge.wgsl" with { type: "text" };

/** `merge.wgsl`. */
export const mergeKernel: Kernel = defineKernel({
  name: "merge/merge",
  source,
  params: {
    ...ranges("HEAD_DIM", "Q_HEADS"),
    SPLITS: { min: 1, max: 65535 },
    SLICES: [1, 2, 4, 8, 16],
  },
});

/** Slices into which a workgroup of at most 256 threads divides the splits to add them up. */
export function slicesFor(p: Problem, splits: number): number {
  return [1, 2, 4, 8].findLast((s) => s <= splits && (p.headDim / 4) * s <= 256) ?? 1;
}

/** The dispatch that joins `splits` partials per query head. */
export function mergeDispatch(p: Problem, splits: number): Dispatch {
  return mergeDispatchOf(p, { SPLITS: splits, SLICES: slicesFor(p, splits) });
}

function mergeDispatchOf(p: Problem, params: Params): Dispatch {
  return dispatch(mergeKernel, p, params, [p.qHeads, p.batch, 1]);
}

/** Bytes and FLOPs of joining `splits` partials per query head. */
export function mergeCost(p: Problem, splits: number): Cost {
  const rows = p.batch * p.qHeads;
  return {
    streamBytes: rows * splits * (p.headDim * 4 + 8),
    gatherBytes: 0,
    writeBytes: rows * p.headDim * 4,
    flops: rows * splits * (2 * p.headDim + 4),
  };
}

/** The merge as a stage of its own. */
export const merge: Variant = defineVariant({
  name: "merge/merge",
  stage: "merge",
  description: "one workgroup per query head merges the partials of all splits",
  tunables: { SPLITS: [8, 16, 32, 64], SLICES: [1, 2, 4, 8, 16] },
  features: [],
  defaults: (p) => ({ SPLITS: 16, SLICES: p.headDim > 128 ? 4 : 8 }),
  refuses: () => undefined,
  plan: (p, params) => ({
    buffers: {
      ...partialSpecs(p, params.SPLITS, "input"),
      ...specs(p, "input", "sink_logits"),
      ...specs(p, "output", "out"),
    },
    dispatches: [mergeDispatchOf(p, params)],
  }),
  cost: (p, params) => mergeCost(p, params.SPLITS),
});
