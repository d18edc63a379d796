/**
 * Scores by an index of many small heads, which all query heads share (the lightning indexer of
 * DeepSeek Sparse Attention), in bytes.
 */
import type { Cost, DeviceLimits, Kernel, Plan, Variant } from "../core/variant.ts";
import { type Params, ranges } from "../core/problem/constants.ts";
import { defineKernel, defineVariant } from "../core/define.ts";
import { dispatch } from "../core/dispatch.ts";
import { INDEX, systemSpecs } from "../core/system_layout.ts";
import { cachedTokens } from "../core/problem/derived.ts";
import type { Problem } from "../core/problem/problem.ts";
import { PACKED_DOT } from "../core/wgsl/wgsl_compiler.ts";
import source from "./index.wgsl" with { type: "text" };
import unpackedSource from "./index_unpacked.wgsl" with { type: "text" };

const TUNABLES = {
  WORKGROUP: [64, 128, 256],
  TOKENS: [1, 2, 4],
  SLICES: [1, 2, 4],
  TOGETHER: [1, 2, 4],
} as const;

/** `index.wgsl`. */
export const indexKernel: Kernel = defineKernel({
  name: "score/index",
  source,
  params: { ...ranges("CAPACITY"), ...TUNABLES },
});

/** `index_unpacked.wgsl`. */
export const indexUnpackedKernel: Kernel = defineKernel({
  name: "score/index_unpacked",
  source: unpackedSource,
  params: indexKernel.params,
});

/** DSA's settings: the tokens that it takes. */
export const DSA = { TOP: 2048 } as const satisfies Params;

/** The problem of a DSA step: all query heads of a sequence share one selection, without windows. */
export function dsaProblem(p: Problem, { TOP = DSA.TOP }: Params): Problem {
  return { ...p, singleList: true, topK: { count: TOP }, sink: 0, recent: 0 };
}

/**
 * Least traffic and arithmetic: reads the rows and the scale of each key once, and writes a score.
 * A product of four bytes counts as one multiply-add.
 */
function indexCost(p: Problem): Cost {
  const tokens = cachedTokens(p);
  const { heads, dim } = INDEX;
  return {
    streamBytes: tokens * (dim + 4) + p.batch * 4 * (heads * (dim + 1) + dim),
    gatherBytes: 0,
    writeBytes: 4 * tokens,
    flops: 2 * tokens * heads * dim / 4,
  };
}

/** Workgroups that keep a large GPU busy. */
const MOST_WORKGROUPS = 256;

/** Few threads share a token where there are many tokens: a query read serves more of them. */
function defaults(p: Problem, _limits: DeviceLimits): Params {
  const perWorkgroup = p.batch * p.capacity / MOST_WORKGROUPS;
  const WORKGROUP = 128;
  const TOKENS = perWorkgroup >= 4 * WORKGROUP ? 4 : perWorkgroup >= WORKGROUP ? 2 : 1;
  const SLICES = perWorkgroup >= TOKENS * WORKGROUP
    ? 1
    : 2 * perWorkgroup >= TOKENS * WORKGROUP
    ? 2
    : 4;
  return { WORKGROUP, TOKENS, SLICES, TOGETHER: 2 };
}

function planOf(kernel: Kernel, p: Problem, params: Params): Plan {
  const tile = params.WORKGROUP / params.SLICES * params.TOKENS;
  return {
    buffers: {
      ...systemSpecs(p, "input", "lengths", "index_queries", "index_weights", "index_keys"),
      // Rows of bytes and their scales are kept between steps.
      ...systemSpecs(p, "input", "index_codes", "index_scales"),
      ...systemSpecs(dsaProblem(p, params), "output", "scores"),
    },
    dispatches: [dispatch(kernel, p, params, [Math.ceil(p.capacity / tile), 1, p.batch])],
  };
}

/** Scores of an index by products of four bytes. */
export const index: Variant = defineVariant({
  name: "score/index",
  stage: "score",
  description: "DSA's indexer: 64 heads of bytes by dot4I8Packed, quantises, appends, scores",
  tunables: TUNABLES,
  features: [PACKED_DOT],
  defaults,
  refuses: () => undefined,
  plan: (p, params) => planOf(indexKernel, p, params),
  cost: indexCost,
});

/** The same without the language feature. */
export const indexUnpacked: Variant = defineVariant({
  name: "score/index_unpacked",
  stage: "score",
  description: "DSA's indexer without dot4I8Packed: bytes are multiplied one by one",
  tunables: TUNABLES,
  features: [],
  defaults,
  refuses: () => undefined,
  plan: (p, params) => planOf(indexUnpackedKernel, p, params),
  cost: indexCost,
});
