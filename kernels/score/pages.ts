/** Bounds of the scores of pages (Quest, arXiv 2406.10774). */
import {
  addCost,
  type Cost,
  type DeviceLimits,
  type Kernel,
  type Plan,
  type Variant,
} from "../core/variant.ts";
import { type Params, ranges } from "../core/problem/constants.ts";
import { defineKernel, defineVariant } from "../core/define.ts";
import { pageBoundsCost } from "../encode/page_bounds.ts";
import { dispatch } from "../core/dispatch.ts";
import { systemSpecs } from "../core/system_layout.ts";
import { PAGE_TOKENS, pagesOf, refusesPages } from "../core/problem/pages.ts";
import { groupSize, kvBytes, overSequences } from "../core/problem/derived.ts";
import type { Problem } from "../core/problem/problem.ts";
import {
  lanesFor,
  refusesRowSplit,
  ROW_SPLIT_RANGES,
  ROW_SPLIT_TUNABLES,
} from "../core/row_split.ts";
import { refusesGroup } from "./dot.ts";
import source from "./pages.wgsl" with { type: "text" };

/** `pages.wgsl`. */
export const pagesKernel: Kernel = defineKernel({
  name: "score/pages",
  source,
  params: {
    ...ranges("HEAD_DIM", "GROUP", "KV_HEADS", "CAPACITY", "KV_DTYPE"),
    ...ROW_SPLIT_RANGES,
    APPEND: [0, 1],
  },
});

/**
 * Least traffic and arithmetic: reads bounds and q once, writes a score for each query head. Every
 * page but the newest has a score.
 */
function pagesCost(p: Problem): Cost {
  const pages = p.kvHeads * overSequences(p, (length) => pagesOf(length) - 1);
  return {
    streamBytes: 2 * pages * p.headDim * kvBytes(p.dtype) + 4 * p.batch * p.qHeads * p.headDim,
    gatherBytes: 0,
    writeBytes: 4 * pages * groupSize(p),
    flops: 2 * pages * groupSize(p) * p.headDim,
  };
}

function pagesPlan(p: Problem, params: Params, APPEND: 0 | 1): Plan {
  const tile = params.WORKGROUP / params.LANES * params.TOKENS;
  const blocks = Math.ceil(p.capacity / PAGE_TOKENS / tile);
  return {
    buffers: {
      ...systemSpecs(p, "input", "lengths", "q", "page_bounds", ...(APPEND ? ["keys"] : [])),
      ...systemSpecs(p, "output", "page_scores"),
    },
    dispatches: [
      dispatch(pagesKernel, p, { ...params, APPEND }, [blocks + APPEND, p.kvHeads, p.batch], {
        scores: "page_scores",
        // Without APPEND no key is read.
        ...(APPEND ? {} : { keys: "q" }),
      }),
    ],
  };
}

/** Rows in flight, so that the parts of a tile's scores fit 8 KiB of workgroup memory. */
function defaults(p: Problem, _limits: DeviceLimits): Params {
  const rows = [2, 1].find((rows) => 4 * 128 * rows * groupSize(p) <= 8192) ?? 1;
  return { WORKGROUP: 128, LANES: lanesFor(p, 16), TOKENS: rows };
}

/** Scores of pages. */
export const pages: Variant = defineVariant({
  name: "score/pages",
  stage: "score",
  description: "f32 bounds of q.K in each page of 16 tokens; reads bounds once per GQA group",
  tunables: ROW_SPLIT_TUNABLES,
  features: [],
  defaults,
  refuses: (p, params) => refusesPages(p) ?? refusesGroup(p) ?? refusesRowSplit(p, params),
  plan: (p, params) => pagesPlan(p, params, 0),
  cost: pagesCost,
});

/** Scores of pages, and meanwhile the bounds of the newest page, which has no score. */
export const pagesAppend: Variant = defineVariant({
  ...pages,
  description: "encode/page_bounds and score/pages in one dispatch",
  plan: (p, params) => pagesPlan(p, params, 1),
  cost: (p) => addCost(pagesCost(p), pageBoundsCost(p)),
});
