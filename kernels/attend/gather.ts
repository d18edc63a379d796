/** Gathered decode attention over a selection (HashAttention section 3), in splits of the list. */
import type { Cost, Kernel, Plan, Variant } from "../core/variant.ts";
import { CACHE_ROWS, MOST_GROUP, type Params, ranges } from "../core/problem/constants.ts";
import { dispatch } from "../core/dispatch.ts";
import { partialSpecs, specs } from "../core/layout.ts";
import { systemSpecs } from "../core/system_layout.ts";
import {
  PAGE_TOKENS,
  pageListCapacity,
  pageListTokens,
  pageWindowsOf,
  refusesPages,
} from "../core/problem/pages.ts";
import { splitsFor } from "../dense/split.ts";
import {
  kvBytes,
  listCapacity,
  listHeads,
  overSequences,
  queriesPerRow,
  windowsOf,
} from "../core/problem/derived.ts";
import type { Problem } from "../core/problem/problem.ts";
import {
  headsFor,
  lanesFor,
  LIST_HEADS,
  refusesHeads,
  refusesRowSplit,
  ROW_SPLIT_RANGES,
  ROW_SPLIT_TUNABLES,
  tokensFor,
} from "../core/row_split.ts";
import { defineKernel, defineVariant } from "../core/define.ts";
import source from "./gather.wgsl" with { type: "text" };

/** Values of PAGE_BITS: lists of tokens, or of pages. */
export const PAGE_BITS_RANGE: readonly number[] = [0, Math.log2(PAGE_TOKENS)];

/** `gather.wgsl`. */
export const gatherKernel: Kernel = defineKernel({
  name: "attend/gather",
  source,
  params: {
    ...ranges("HEAD_DIM", "GROUP", "QUERIES_PER_LIST", "SEQUENCE_LISTS", "LIST_CAPACITY"),
    ...ranges("BATCH", "CAPACITY", "PREFIX", "KV_DTYPE"),
    ...ranges(...CACHE_ROWS),
    HEADS: { min: 1, max: MOST_GROUP },
    ...ROW_SPLIT_RANGES,
    PAGE_BITS: PAGE_BITS_RANGE,
  },
});

/** Values of SPLITS, the workgroups per list, that a tuner tries. */
export const GATHER_SPLITS: readonly number[] = [4, 8, 16, 32];

/** Least traffic and arithmetic: reads each selected row of K and V, its index and q, writes o. */
export function gatherCost(p: Problem): Cost {
  const rows = overSequences(p, (length) => windowsOf(p, length).attended);
  return rowsCost(p, rows, rows);
}

/** The same of pages, with an index for each page. */
export function gatherPagesCost(p: Problem): Cost {
  const pages = (length: number) => pageWindowsOf(p, length).attended;
  const rows = (length: number) => pageListTokens(pages(length), length);
  return rowsCost(p, overSequences(p, rows), overSequences(p, pages));
}

/** The cost of `listRows` rows and `listIndices` indices of a list of each sequence. */
function rowsCost(p: Problem, listRows: number, listIndices: number): Cost {
  const readers = p.qHeads / queriesPerRow(p);
  const [rows, indices] = [readers * listRows, readers * listIndices];
  const qBytes = p.batch * p.qHeads * p.headDim * 4;
  return {
    streamBytes: 4 * indices + qBytes,
    gatherBytes: 2 * rows * p.headDim * kvBytes(p.dtype),
    writeBytes: qBytes,
    flops: 4 * rows * queriesPerRow(p) * p.headDim,
  };
}

/** The plan of a gather kernel; the partials are its output. */
export function gatherPlan(kernel: Kernel, p: Problem, params: Params): Plan {
  return gatherListsPlan(kernel, p, params, TOKEN_LISTS);
}

/** What the entries of lists are. */
export interface ListEntries {
  /** Names of the buffers that the kernels call `selected` and `selected_counts`. */
  readonly names: readonly [selected: string, counts: string];
  readonly pageBits: number;
  /** The specs of those buffers. */
  readonly specs: typeof specs;
  /** Entries that a list has room for. */
  capacity(p: Problem): number;
}

/** Lists of tokens. */
export const TOKEN_LISTS: ListEntries = {
  names: ["selected", "selected_counts"],
  specs,
  pageBits: 0,
  capacity: listCapacity,
};

/** Lists of pages. */
export const PAGE_LISTS: ListEntries = {
  names: ["selected_pages", "selected_page_tokens"],
  specs: systemSpecs,
  pageBits: Math.log2(PAGE_TOKENS),
  capacity: pageListCapacity,
};

/** The parameters of a gather kernel that follow from what its lists hold. */
export function listParams(p: Problem, { pageBits, capacity }: ListEntries): Params {
  return { PAGE_BITS: pageBits, LIST_CAPACITY: capacity(p) };
}

/** The plan of a gather kernel on lists of tokens or pages. */
function gatherListsPlan(kernel: Kernel, p: Problem, params: Params, lists: ListEntries): Plan {
  const [selected, selected_counts] = lists.names;
  const values = { ...params, ...listParams(p, lists) };
  const grid = [params.SPLITS, p.qHeads / params.HEADS, p.batch] as const;
  return {
    buffers: {
      ...specs(p, "input", "lengths", "q", "keys", "values"),
      ...lists.specs(p, "input", selected, selected_counts),
      ...partialSpecs(p, params.SPLITS, "output"),
    },
    dispatches: [dispatch(kernel, p, values, grid, { selected, selected_counts })],
  };
}

/** Portable gathered attention. */
export const gather: Variant = defineVariant({
  name: "attend/gather",
  stage: "attend",
  description: "gathers selected rows in splits of the list, sums dots in workgroup memory",
  tunables: { ...ROW_SPLIT_TUNABLES, HEADS: LIST_HEADS, SPLITS: GATHER_SPLITS },
  features: [],
  sharedPrefix: "also",
  defaults(p) {
    const HEADS = headsFor(queriesPerRow(p));
    return {
      WORKGROUP: 128,
      LANES: lanesFor(p, 16, HEADS),
      TOKENS: tokensFor(HEADS, 128),
      HEADS,
      SPLITS: splitsFor(p, p.qHeads / HEADS, listCapacity(p), 512),
    };
  },
  refuses: (p, params) => refusesHeads(queriesPerRow(p), params) ?? refusesRowSplit(p, params),
  plan: (p, params) => gatherPlan(gatherKernel, p, params),
  cost: gatherCost,
});

/** Portable gathered attention over pages. */
export const gatherPages: Variant = defineVariant({
  ...gather,
  name: "attend/gather_pages",
  description: "attend/gather over pages of 16 tokens",
  defaults: (p, limits) => ({
    ...gather.defaults(p, limits),
    SPLITS: splitsFor(p, listHeads(p), PAGE_TOKENS * pageListCapacity(p), 512),
  }),
  refuses: (p, params, limits) => refusesPages(p) ?? gather.refuses(p, params, limits),
  plan: (p, params) => gatherListsPlan(gatherKernel, p, params, PAGE_LISTS),
  cost: gatherPagesCost,
});
