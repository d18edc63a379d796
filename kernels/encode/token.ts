/** Codes of one decode step: queries and newest keys (HashAttention section 3, learned mapping). */
import type { Cost, Kernel, Params, Plan, Variant } from "../core/variant.ts";
import { bufferBytes, dispatch, ranges, specs } from "../core/layout.ts";
import { codeHeads, codeWords, kvBytes, mapNumbers, type Problem } from "../core/problem.ts";
import { defineKernel, defineVariant } from "../core/define.ts";
import source from "./token.wgsl" with { type: "text" };

/** `token.wgsl`. */
export const tokenKernel: Kernel = defineKernel({
  name: "encode/token",
  source,
  params: {
    ...ranges("HEAD_DIM", "GROUP", "Q_HEADS", "CODE_HEADS", "QUERIES_PER_LIST", "CAPACITY"),
    ...ranges("KV_DTYPE", "BITS", "MAP_LAYERS", "MAP_HIDDEN", "MAP_DTYPE"),
    QUERIES: [0, 1],
    KEYS: [0, 1],
    WORKGROUP: [128, 256, 512],
  },
});

const TUNABLES = { WORKGROUP: [128, 256, 512] } as const;

/** Why a workgroup cannot run a map; undefined if it can. */
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
    writeBytes: vectors * codeWords(p) * 4,
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

/** Queries alone; what only keys need is bound to stand-ins. */
export const encodeQuery: Variant = defineVariant({
  name: "encode/query",
  stage: "encode_query",
  description: "codes of all query heads' queries, a workgroup per head, its map read once",
  tunables: TUNABLES,
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

/** Newest keys alone; what only queries need is bound to stand-ins. */
export const encodeAppend: Variant = defineVariant({
  name: "encode/append",
  stage: "encode_append",
  description: "codes of the newest key, a workgroup per code head, written into the code cache",
  tunables: TUNABLES,
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

/** Queries and newest keys in one dispatch: what a decode step runs. */
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
