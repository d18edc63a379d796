/** Decode attention of heads that keep some tokens each, for devices without subgroups. */
import type { Kernel, Variant } from "../core/variant.ts";
import { defineKernel, defineVariant } from "../core/define.ts";
import { dispatch } from "../core/dispatch.ts";
import { partialSpecs, specs } from "../core/layout.ts";
import { ranges } from "../core/problem/constants.ts";
import {
  lanesFor,
  refusesRowSplit,
  ROW_SPLIT_RANGES,
  ROW_SPLIT_TUNABLES,
  tokensFor,
} from "../core/row_split.ts";
import { DENSE_SPLITS, splitsFor } from "../dense/split.ts";
import { refusesHeads, routeKernel, routeSpec, slotSpecs } from "../encode/route.ts";
import { slotsCost } from "./slots.ts";
import source from "./slots_portable.wgsl" with { type: "text" };

/** `slots_portable.wgsl`. */
export const slotsPortableKernel: Kernel = defineKernel({
  name: "attend/slots_portable",
  source,
  params: {
    ...ranges("HEAD_DIM", "Q_HEADS", "CAPACITY", "KV_DTYPE"),
    MOSA_SPARSITY: routeKernel.params.MOSA_SPARSITY,
    DENSE_HEADS: routeKernel.params.DENSE_HEADS,
    ...ROW_SPLIT_RANGES,
  },
});

/** Portable attention over slots. Only the steps of systems run it. */
export const slotsPortable: Variant = defineVariant({
  name: "attend/slots_portable",
  stage: "attend",
  description: "attends the slots of heads that take the newest token, sums in workgroup memory",
  tunables: { ...ROW_SPLIT_TUNABLES, SPLITS: DENSE_SPLITS },
  features: [],
  defaults: (p) => ({
    WORKGROUP: 128,
    LANES: lanesFor(p, 16),
    TOKENS: tokensFor(1, 128),
    // Few heads take a token. Enough workgroups share the slots of each.
    SPLITS: splitsFor(p, 1, p.capacity, 32),
  }),
  refuses: (p, params) => refusesHeads(p, params) ?? refusesRowSplit(p, params),
  plan: (p, params) => ({
    buffers: {
      ...specs(p, "input", "lengths", "q"),
      ...slotSpecs(p, params),
      ...routeSpec(p, "input"),
      ...partialSpecs(p, params.SPLITS, "output"),
    },
    dispatches: [dispatch(slotsPortableKernel, p, params, [params.SPLITS, p.qHeads, p.batch])],
  }),
  cost: slotsCost,
});
