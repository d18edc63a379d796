/** Bounds of the keys of each page, by which Quest (arXiv 2406.10774) ranks pages. */
import type { Cost, Kernel, Variant } from "../core/variant.ts";
import { dispatch } from "../core/dispatch.ts";
import { ranges } from "../core/problem/constants.ts";
import { systemSpecs } from "../core/system_layout.ts";
import { pageCapacity, pagesOf } from "../core/problem/pages.ts";
import { cachedTokens, kvBytes, overSequences } from "../core/problem/derived.ts";
import type { Problem } from "../core/problem/problem.ts";
import { defineKernel, defineVariant } from "../core/define.ts";
import { rowLoads } from "../core/row_split.ts";
import promptSource from "./page_bounds_prompt.wgsl" with { type: "text" };
import source from "./page_bounds.wgsl" with { type: "text" };

const CACHE = ranges("HEAD_DIM", "KV_HEADS", "CAPACITY", "KV_DTYPE");
const APPEND_WORKGROUP: readonly number[] = [32, 64];
const PROMPT_WORKGROUP: readonly number[] = [64, 128, 256];

/** `page_bounds.wgsl`. */
export const pageBoundsKernel: Kernel = defineKernel({
  name: "encode/page_bounds",
  source,
  params: { ...CACHE, WORKGROUP: APPEND_WORKGROUP },
});

/** `page_bounds_prompt.wgsl`. */
export const pageBoundsPromptKernel: Kernel = defineKernel({
  name: "encode/page_bounds_prompt",
  source: promptSource,
  params: { ...CACHE, WORKGROUP: PROMPT_WORKGROUP },
});

/** Reads the newest keys and the bounds of their pages, and writes those. */
export function pageBoundsCost(p: Problem): Cost {
  const rowBytes = p.batch * p.kvHeads * p.headDim * kvBytes(p.dtype);
  return { streamBytes: 3 * rowBytes, gatherBytes: 0, writeBytes: 2 * rowBytes, flops: 0 };
}

/** Bounds of the newest page. */
export const pageBounds: Variant = defineVariant({
  name: "encode/page_bounds",
  stage: "encode_append",
  description: "puts the newest key of each KV head into the bounds of its page",
  tunables: { WORKGROUP: APPEND_WORKGROUP },
  features: [],
  defaults: () => ({ WORKGROUP: 32 }),
  refuses: () => undefined,
  plan: (p, params) => ({
    buffers: systemSpecs(p, "input", "lengths", "keys", "page_bounds"),
    dispatches: [dispatch(pageBoundsKernel, p, params, [p.kvHeads, p.batch, 1])],
  }),
  cost: pageBoundsCost,
});

/** Bounds of all pages. */
export const pageBoundsPrompt: Variant = defineVariant({
  name: "encode/page_bounds_prompt",
  stage: "encode_prompt",
  description: "least and largest element of each channel in every page of 16 keys",
  tunables: { WORKGROUP: PROMPT_WORKGROUP },
  features: [],
  defaults: () => ({ WORKGROUP: 128 }),
  refuses: (p, { WORKGROUP }) =>
    WORKGROUP < rowLoads(p)
      ? `${WORKGROUP} threads are too few for ${rowLoads(p)} loads of a row`
      : undefined,
  plan(p, params) {
    const pages = Math.floor(params.WORKGROUP / rowLoads(p));
    const grid = [Math.ceil(pageCapacity(p) / pages), p.kvHeads, p.batch] as const;
    return {
      buffers: {
        ...systemSpecs(p, "input", "lengths", "keys"),
        ...systemSpecs(p, "output", "page_bounds"),
      },
      dispatches: [dispatch(pageBoundsPromptKernel, p, params, grid)],
    };
  },
  cost(p) {
    const row = p.headDim * kvBytes(p.dtype);
    return {
      streamBytes: p.kvHeads * cachedTokens(p) * row,
      gatherBytes: 0,
      writeBytes: 2 * p.kvHeads * overSequences(p, pagesOf) * row,
      flops: 0,
    };
  },
});
