/** Rotates and encodes the queries and newest keys of a decode step. Nothing is trained. */
import type { Cost, Kernel, Plan, Variant } from "../core/variant.ts";
import { CACHE_ROWS, type Params, ranges } from "../core/problem/constants.ts";
import { dispatch } from "../core/dispatch.ts";
import { specs } from "../core/layout.ts";
import { codeWords, kvBytes, queryWords } from "../core/problem/derived.ts";
import type { Problem } from "../core/problem/problem.ts";
import { defineKernel, defineVariant } from "../core/define.ts";
import { rotationWidth } from "./rotation.ts";
import source from "./rotate_token.wgsl" with { type: "text" };

const WORKGROUP: readonly number[] = [32, 64, 128, 256];

/** `rotate_token.wgsl`. */
export const rotateTokenKernel: Kernel = defineKernel({
  name: "encode/rotate_token",
  source,
  params: {
    ...ranges("HEAD_DIM", "BATCH", "Q_HEADS", "KV_HEADS", "CAPACITY", "PREFIX", "KV_DTYPE"),
    ...ranges("BITS", "PLANES"),
    ...ranges(...CACHE_ROWS),
    ...ranges("BINS", "RANGE", "SEED", "CENTRE"),
    QUERIES: [0, 1],
    KEYS: [0, 1],
    WORKGROUP,
  },
});

/** Sums and differences of a transform. */
function transformFlops(p: Problem): number {
  const width = rotationWidth(p.headDim, p.bits);
  return width * Math.log2(width);
}

function queryCost(p: Problem): Cost {
  const vectors = p.batch * p.qHeads;
  return {
    streamBytes: vectors * p.headDim * 4,
    gatherBytes: 0,
    writeBytes: vectors * queryWords(p) * 4,
    flops: vectors * transformFlops(p),
  };
}

function appendCost(p: Problem): Cost {
  const vectors = p.batch * p.kvHeads;
  return {
    streamBytes: vectors * p.headDim * kvBytes(p.dtype),
    gatherBytes: 0,
    writeBytes: vectors * (codeWords(p) * 4 + 1),
    flops: vectors * transformFlops(p),
  };
}

/** Encodes only queries; the buffers that only keys need are bound to others. */
export const rotateQuery: Variant = defineVariant({
  name: "encode/rotate_query",
  stage: "encode_query",
  description: "rotates the query of each query head, makes its planes and the scale of its bins",
  tunables: { WORKGROUP },
  codes: "rotated",
  features: [],
  sharedPrefix: "also",
  defaults: () => ({ WORKGROUP: 64 }),
  refuses: () => undefined,
  plan: (p, params): Plan => ({
    buffers: {
      ...specs(p, "input", "lengths", "q", "key_stats"),
      ...specs(p, "output", "query_codes"),
      unused: { bytes: 16, role: "scratch" },
      unused_factors: { bytes: 16, role: "scratch" },
    },
    dispatches: [
      dispatch(rotateTokenKernel, p, { ...params, QUERIES: 1, KEYS: 0 }, [p.qHeads, p.batch, 1], {
        keys: "q",
        codes: "unused",
        factors: "unused_factors",
      }),
    ],
  }),
  cost: queryCost,
});

/** Encodes only newest keys; the buffers that only queries need are bound to others. */
export const rotateAppend: Variant = defineVariant({
  name: "encode/rotate_append",
  stage: "encode_append",
  description: "rotates the newest key of each KV head, appends its code and its factor",
  tunables: { WORKGROUP },
  codes: "rotated",
  features: [],
  sharedPrefix: "also",
  defaults: () => ({ WORKGROUP: 64 }),
  refuses: () => undefined,
  plan: (p, params): Plan => ({
    buffers: {
      ...specs(p, "input", "lengths", "keys", "key_stats"),
      ...specs(p, "output", "codes", "factors"),
      unused: { bytes: 16, role: "scratch" },
    },
    dispatches: [
      dispatch(rotateTokenKernel, p, { ...params, QUERIES: 0, KEYS: 1 }, [p.kvHeads, p.batch, 1], {
        q: "keys",
        query_codes: "unused",
      }),
    ],
  }),
  cost: appendCost,
});

/** Encodes queries and newest keys in one dispatch, as a decode step does. */
export function rotateStepPlan(p: Problem, params: Params): Plan {
  return {
    buffers: {
      ...specs(p, "input", "lengths", "q", "keys", "key_stats"),
      ...specs(p, "output", "query_codes", "codes", "factors"),
    },
    dispatches: [
      dispatch(rotateTokenKernel, p, { ...params, QUERIES: 1, KEYS: 1 }, [
        p.qHeads + p.kvHeads,
        p.batch,
        1,
      ]),
    ],
  };
}

/** Least traffic and arithmetic of {@linkcode rotateStepPlan}. */
export function rotateStepCost(p: Problem): readonly [Cost, Cost] {
  return [queryCost(p), appendCost(p)];
}
