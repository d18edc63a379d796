/**
 * Encodes the queries and newest keys of a decode step (HashAttention section 3, learned mapping).
 */
import type { Cost, Kernel, Plan, Variant } from "../core/variant.ts";
import { CACHE_ROWS, type Params, ranges } from "../core/problem/constants.ts";
import { bufferBytes, specs } from "../core/layout.ts";
import { dispatch } from "../core/dispatch.ts";
import { codeHeads, codeWords, kvBytes, mapNumbers, queryWords } from "../core/problem/derived.ts";
import type { Problem } from "../core/problem/problem.ts";
import { defineKernel, defineVariant } from "../core/define.ts";
import source from "./token.wgsl" with { type: "text" };

/** `token.wgsl`. */
export const tokenKernel: Kernel = defineKernel({
  name: "encode/token",
  source,
  params: {
    ...ranges(
      "HEAD_DIM",
      "BATCH",
      "GROUP",
      "Q_HEADS",
      "CODE_HEADS",
      "QUERIES_PER_CODE",
      "CAPACITY",
    ),
    ...ranges(...CACHE_ROWS),
    ...ranges("KV_DTYPE", "BITS", "PLANES", "MAP_LAYERS", "MAP_HIDDEN", "MAP_DTYPE"),
    QUERIES: [0, 1],
    KEYS: [0, 1],
    WORKGROUP: [128, 256, 512],
  },
});

const TUNABLES = { WORKGROUP: [128, 256, 512] } as const;

/** The reason that a workgroup cannot run a map; undefined if it can. */
function refusesMap(p: Problem, params: Params): string | undefined {
  const workgroup = params.WORKGROUP;
  const widest = Math.max(p.bits, p.map.layers > 1 ? p.map.hidden : 0);
  if (workgroup < widest) {
    return `${workgroup} threads are too few for ${widest} outputs of a layer`;
  }
}

function queryCost(p: Problem): Cost {
  const vectors = p.batch * p.qHeads;
  return {
    streamBytes: bufferBytes(p).query_map + vectors * p.headDim * 4,
    gatherBytes: 0,
    writeBytes: vectors * queryWords(p) * 4,
    flops: 2 * vectors * mapNumbers(p),
  };
}

function appendCost(p: Problem): Cost {
  const vectors = p.batch * codeHeads(p);
  return {
    streamBytes: bufferBytes(p).key_map + p.batch * p.kvHeads * p.headDim * kvBytes(p.dtype),
    gatherBytes: 0,
    writeBytes: vectors * codeWords(p) * 4,
    flops: 2 * vectors * mapNumbers(p),
  };
}

/** Encodes only queries; the buffers that only keys need are bound to others. */
export const encodeQuery: Variant = defineVariant({
  name: "encode/query",
  stage: "encode_query",
  description: "encodes the query of each query head with one workgroup, which reads its map once",
  tunables: TUNABLES,
  codes: "map",
  features: [],
  defaults: () => ({ WORKGROUP: 256 }),
  refuses: refusesMap,
  plan: (p, params): Plan => ({
    buffers: {
      ...specs(p, "input", "lengths", "q", "query_map"),
      ...specs(p, "output", "query_codes"),
      unused: { bytes: 16, role: "scratch" },
    },
    dispatches: [
      dispatch(tokenKernel, p, { ...params, QUERIES: 1, KEYS: 0 }, [p.qHeads, p.batch, 1], {
        keys: "q",
        key_map: "query_map",
        codes: "unused",
      }),
    ],
  }),
  cost: queryCost,
});

/** Encodes only newest keys; the buffers that only queries need are bound to others. */
export const encodeAppend: Variant = defineVariant({
  name: "encode/append",
  stage: "encode_append",
  description: "encodes the newest key into the code cache, one workgroup per code head",
  tunables: TUNABLES,
  codes: "map",
  features: [],
  defaults: () => ({ WORKGROUP: 256 }),
  refuses: refusesMap,
  plan: (p, params): Plan => ({
    buffers: {
      ...specs(p, "input", "lengths", "keys", "key_map"),
      ...specs(p, "output", "codes"),
      unused: { bytes: 16, role: "scratch" },
    },
    dispatches: [
      dispatch(tokenKernel, p, { ...params, QUERIES: 0, KEYS: 1 }, [codeHeads(p), p.batch, 1], {
        q: "keys",
        query_map: "key_map",
        query_codes: "unused",
      }),
    ],
  }),
  cost: appendCost,
});

/** Encodes queries and newest keys in one dispatch, as a decode step does. */
export function encodeStepPlan(p: Problem, params: Params): Plan {
  return {
    buffers: {
      ...specs(p, "input", "lengths", "q", "keys", "query_map", "key_map"),
      ...specs(p, "output", "query_codes", "codes"),
    },
    dispatches: [
      dispatch(tokenKernel, p, { ...params, QUERIES: 1, KEYS: 1 }, [
        p.qHeads + codeHeads(p),
        p.batch,
        1,
      ]),
    ],
  };
}

/** Least traffic and arithmetic of {@linkcode encodeStepPlan}. */
export function encodeStepCost(p: Problem): readonly [Cost, Cost] {
  return [queryCost(p), appendCost(p)];
}
