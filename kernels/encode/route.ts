/** The router of a mixture of sparse attention, which keeps the tokens that a head chooses. */
import type { BufferRole, BufferSpec, Cost, Kernel, Variant } from "../core/variant.ts";
import { type Params, ranges } from "../core/problem/constants.ts";
import { defineKernel, defineVariant } from "../core/define.ts";
import { dispatch } from "../core/dispatch.ts";
import { specs } from "../core/layout.ts";
import { kvBytes, overSequences } from "../core/problem/derived.ts";
import type { Problem } from "../core/problem/problem.ts";
import { slotsOf } from "./route_reference.ts";
import source from "./route.wgsl" with { type: "text" };

/** MoSA's settings: every head keeps 1/32 of the tokens. */
export const MOSA = { MOSA_SPARSITY: 32, DENSE_HEADS: 0 } as const satisfies Params;

/** The same with dense heads beside the sparse ones. */
export const MOSA_HYBRID = { ...MOSA, DENSE_HEADS: 4 } as const satisfies Params;

/** `route.wgsl`. */
export const routeKernel: Kernel = defineKernel({
  name: "encode/route",
  source,
  params: {
    ...ranges("HEAD_DIM", "Q_HEADS", "CAPACITY", "KV_DTYPE"),
    MOSA_SPARSITY: { min: 1, max: 65536 },
    DENSE_HEADS: { min: 0, max: 65535 },
    WORKGROUP: [64, 128, 256, 512],
    AHEAD: [1, 2, 4, 8],
  },
});

/** Slots that a sparse head has room for. */
export function slotCapacity(p: Problem, { MOSA_SPARSITY }: Params): number {
  return Math.max(2, Math.ceil(p.capacity / MOSA_SPARSITY));
}

/** Specs of the tokens in slots with their K and V, which are kept between steps. */
export function slotSpecs(p: Problem, params: Params): Record<string, BufferSpec> {
  const sparse = p.batch * (p.qHeads - params.DENSE_HEADS) * slotCapacity(p, params);
  const rows = p.batch * params.DENSE_HEADS * p.capacity + sparse;
  const bytes = rows * p.headDim * kvBytes(p.dtype);
  return {
    slot_keys: { bytes, role: "input" },
    slot_values: { bytes, role: "input" },
    slot_tokens: { bytes: 8 * sparse, role: "input" },
  };
}

/** Spec of the routes: r and the number of tokens to attend; 0 for a head without the token. */
export function routeSpec(p: Problem, role: BufferRole): Record<string, BufferSpec> {
  return { routes: { bytes: 8 * p.batch * p.qHeads, role } };
}

/** The reason that a problem has no such router; undefined if it has. */
export function refusesHeads(p: Problem, { DENSE_HEADS: dense }: Params): string | undefined {
  if (dense >= p.qHeads) return `of ${p.qHeads} heads ${dense} cannot be dense`;
}

/** Least traffic: reads the router, the layer input and the tokens in slots. */
function routeCost(p: Problem, params: Params): Cost {
  const sparse = p.qHeads - params.DENSE_HEADS;
  const model = p.qHeads * p.headDim;
  const slots = overSequences(p, (length) => slotsOf(length, params.MOSA_SPARSITY, 0));
  const rows = 2 * p.batch * p.qHeads * p.headDim * kvBytes(p.dtype);
  return {
    streamBytes: 2 * sparse * model + 4 * p.batch * model + 8 * sparse * slots + rows,
    gatherBytes: 0,
    writeBytes: rows + 8 * p.batch * p.qHeads,
    flops: 2 * p.batch * sparse * model,
  };
}

/** Routes the newest token. Only the steps of systems run it. */
export const route: Variant = defineVariant({
  name: "encode/route",
  stage: "encode_append",
  description: "scores the newest token for each head, puts it in the place of the lowest one",
  tunables: { WORKGROUP: [128, 256, 512], AHEAD: [1, 2, 4, 8] },
  features: [],
  defaults(p, limits) {
    const long = p.capacity > 65536;
    const most = limits.maxComputeInvocationsPerWorkgroup;
    return { WORKGROUP: Math.min(long ? 512 : 256, most), AHEAD: long ? 8 : 4 };
  },
  refuses: (p, params) => refusesHeads(p, params),
  plan: (p, params) => ({
    buffers: {
      ...specs(p, "input", "lengths"),
      hidden: { bytes: 4 * p.batch * p.qHeads * p.headDim, role: "input" },
      router: { bytes: 2 * p.qHeads * p.qHeads * p.headDim, role: "input" },
      token_rows: { bytes: 2 * p.batch * p.qHeads * p.headDim * kvBytes(p.dtype), role: "input" },
      ...slotSpecs(p, params),
      ...routeSpec(p, "output"),
    },
    dispatches: [dispatch(routeKernel, p, params, [p.qHeads, p.batch, 1])],
  }),
  cost: routeCost,
});
