/**
 * The decode step of Native Sparse Attention (NSA, arXiv 2502.11089): a compressed branch, blocks
 * that its probabilities choose, and a window, summed by gates.
 */
import type { BufferSpec, Cost, DeviceLimits, Kernel, Plan, Variant } from "../core/variant.ts";
import { MOST_GROUP, type Params, ranges } from "../core/problem/constants.ts";
import { defineKernel, defineVariant } from "../core/define.ts";
import { dispatch } from "../core/dispatch.ts";
import { systemSpecs } from "../core/system_layout.ts";
import { groupSize, kvBytes, overSequences, valueDimOf } from "../core/problem/derived.ts";
import type { Problem } from "../core/problem/problem.ts";
import { headsFor, refusesHeads, rowLoads } from "../core/row_split.ts";
import { HAND_OVER_CODE, handOverParam, refusesHandOver } from "../merge/hand_over.ts";
import { blocksOf, compressedRows, NSA } from "./nsa_reference.ts";
import branchesSource from "../attend/nsa_branches.wgsl" with { type: "text" };
import compressedSource from "../attend/nsa_compressed.wgsl" with { type: "text" };
import gatesSource from "../merge/nsa_gates.wgsl" with { type: "text" };
import blocksSource from "../score/nsa_blocks.wgsl" with { type: "text" };

const WORKGROUPS: readonly number[] = [64, 128, 256, 512];
const TILES: readonly number[] = [16, 32, 64];
const SPLITS = { min: 1, max: 1024 };
const SHAPE = ranges("VALUE_DIM", "BATCH", "GROUP", "KV_HEADS");
const HEADS = { min: 1, max: MOST_GROUP };

const ATTENDING = {
  ...SHAPE,
  ...ranges("HEAD_DIM", "CAPACITY", "KV_DTYPE"),
  HEADS,
  WORKGROUP: WORKGROUPS,
  TILE: TILES,
  COMPRESSED_SPLITS: SPLITS,
};

/** `nsa_compressed.wgsl`. */
export const nsaCompressedKernel: Kernel = defineKernel({
  name: "attend/nsa_compressed",
  source: compressedSource,
  params: ATTENDING,
});

/** `nsa_blocks.wgsl`. */
export const nsaBlocksKernel: Kernel = defineKernel({
  name: "score/nsa_blocks",
  source: blocksSource,
  params: {
    ...SHAPE,
    ...ranges("CAPACITY"),
    WORKGROUP: WORKGROUPS,
    COMPRESSED_SPLITS: SPLITS,
  },
});

/** `nsa_branches.wgsl`. */
export const nsaBranchesKernel: Kernel = defineKernel({
  name: "attend/nsa_branches",
  source: branchesSource,
  params: {
    ...ATTENDING,
    GATHER_SPLITS: { min: 1, max: NSA.picks },
    WINDOW_SPLITS: { min: 1, max: 32 },
    SCORED: [0, 1],
    HAND_OVER: Object.values(HAND_OVER_CODE),
  },
});

/** `nsa_gates.wgsl`. */
export const nsaGatesKernel: Kernel = defineKernel({
  name: "merge/nsa_gates",
  source: gatesSource,
  params: {
    ...SHAPE,
    HEADS,
    WORKGROUP: WORKGROUPS,
    GATHER_SPLITS: { min: 1, max: NSA.picks },
    WINDOW_SPLITS: { min: 1, max: 32 },
  },
});

/** The parameters of a kernel whose own ones begin with `prefix`. */
function own(prefix: string, params: Params): Params {
  return { ...params, WORKGROUP: params[`${prefix}.WORKGROUP`], TILE: params[`${prefix}.TILE`] };
}

/** Lists of all sequences: a list is HEADS query heads of one KV head. */
function listsOf(p: Problem, params: Params): number {
  return p.batch * p.qHeads / params.HEADS;
}

function roundUp(count: number, multiple: number): number {
  return Math.ceil(count / multiple) * multiple;
}

/** Where the blocks that a step took begin in `hand_over`, in words: [B, Hkv, 16]. */
export function picksStart(p: Problem, params: Params): number {
  const lists = listsOf(p, params);
  return lists + 64 - lists % 64;
}

/** What the compressed branch leaves: partials, logits, block scores and (m, l) of the partials. */
function compressedSpec(p: Problem, { COMPRESSED_SPLITS: splits }: Params): BufferSpec {
  const heads = p.batch * p.qHeads;
  const blocks = blocksOf(p.capacity);
  const scores = roundUp(p.batch * p.kvHeads * blocks, 4);
  const quads = heads * splits * valueDimOf(p) / 4 + heads * blocks + scores / 4;
  return { bytes: roundUp(16 * quads + 8 * heads * splits, 16), role: "scratch" };
}

/** Arrivals, the blocks that were taken, and partials of each list on cache lines of its own. */
function handOverSpec(p: Problem, params: Params): BufferSpec {
  const { HEADS: heads, GATHER_SPLITS, WINDOW_SPLITS } = params;
  const lists = listsOf(p, params);
  const listQuads = roundUp(
    heads * (GATHER_SPLITS + WINDOW_SPLITS + 1) * (valueDimOf(p) / 4 + 1),
    8,
  );
  const words = picksStart(p, params) + roundUp(p.batch * p.kvHeads * NSA.picks, 32);
  return {
    bytes: 4 * words + 16 * lists * listQuads,
    role: "scratch",
    zeros: { offset: 0, bytes: 4 * lists },
  };
}

function plan(p: Problem, params: Params): Plan {
  const lists = p.qHeads / params.HEADS;
  const splits = params.GATHER_SPLITS + params.WINDOW_SPLITS + 1;
  const shares = Math.ceil(blocksOf(p.capacity) / params["blocks.WORKGROUP"]);
  const branches = own("branches", params);
  return {
    buffers: {
      ...systemSpecs(p, "input", "lengths", "q", "gates", "branch_keys", "branch_values"),
      compressed_state: compressedSpec(p, params),
      hand_over: handOverSpec(p, params),
      ...systemSpecs(p, "output", "out"),
    },
    dispatches: [
      dispatch(nsaCompressedKernel, p, own("compressed", params), [
        params.COMPRESSED_SPLITS,
        lists,
        p.batch,
      ]),
      ...(params.SCORED === 1
        ? [dispatch(nsaBlocksKernel, p, own("blocks", params), [shares, p.kvHeads, p.batch])]
        : []),
      dispatch(nsaBranchesKernel, p, branches, [splits, lists, p.batch]),
      ...(params.HAND_OVER === HAND_OVER_CODE.barrier
        ? []
        : [dispatch(nsaGatesKernel, p, branches, [lists, p.batch, 1])]),
    ],
  };
}

/** The reason that threads cannot share a tile; undefined if they can. */
function refusesTile(p: Problem, { WORKGROUP: threads, TILE: rows }: Params): string | undefined {
  if (threads < rows) return `${threads} threads are too few for a tile of ${rows} rows`;
  const longest = valueDimOf(p);
  if (threads < longest / 4) return `${threads} threads are too few for a row of ${longest}`;
  if (rows * rowLoads(p) % threads !== 0) {
    return `${threads} threads cannot share the ${rows * rowLoads(p)} loads of a tile evenly`;
  }
}

function refuses(p: Problem, params: Params, limits: DeviceLimits): string | undefined {
  return refusesHeads(groupSize(p), params) ?? refusesHandOver(params, limits) ??
    refusesTile(p, own("compressed", params)) ?? refusesTile(p, own("branches", params));
}

/** Default parameters, the fastest first that the device holds. */
function defaults(p: Problem, limits: DeviceLimits): Params {
  const settings = [8, 4, 2, 1].flatMap((most) =>
    TILES.toReversed().flatMap((TILE) =>
      [256, 128, 64].map((WORKGROUP) => setting(p, limits, { WORKGROUP, TILE }, most))
    )
  );
  return settings.find((params) => !nsa.refuses(p, params, limits)) ?? settings[0];
}

function setting(p: Problem, limits: DeviceLimits, threads: Params, most: number): Params {
  const heads = headsFor(groupSize(p), most);
  // Two workgroups of two tiles or more for each multiprocessor of a large GPU.
  const wanted = Math.ceil(256 * heads / (p.batch * p.qHeads));
  const tiles = Math.ceil(p.capacity / NSA.stride / threads.TILE);
  return {
    HEADS: heads,
    "compressed.WORKGROUP": threads.WORKGROUP,
    "compressed.TILE": threads.TILE,
    COMPRESSED_SPLITS: Math.max(1, Math.min(wanted, Math.floor(tiles / 2))),
    "blocks.WORKGROUP": 64,
    "branches.WORKGROUP": threads.WORKGROUP,
    "branches.TILE": threads.TILE,
    GATHER_SPLITS: NSA.picks / 2,
    WINDOW_SPLITS: NSA.window / 128,
    // Every workgroup that gathers would score all blocks.
    SCORED: Number(groupSize(p) * p.capacity > 2 ** 19),
    HAND_OVER: handOverParam(limits),
  };
}

/** Rows of a KV head that a step reads of each cache. */
function rowsRead(length: number): number {
  const blocks = blocksOf(length);
  const unread = Math.max(0, blocks - NSA.picks) * NSA.block; // the last block is always read
  return compressedRows(length) + length - unread + Math.min(length, NSA.window);
}

/** Least traffic and arithmetic: reads the rows that it attends once for each KV head, writes o. */
function cost(p: Problem): Cost {
  const rows = p.kvHeads * overSequences(p, rowsRead);
  const elements = p.headDim + valueDimOf(p);
  const heads = p.batch * p.qHeads;
  return {
    // Blocks are 64 rows in a sequence, which memory streams.
    streamBytes: rows * elements * kvBytes(p.dtype) + 4 * heads * p.headDim,
    gatherBytes: 0,
    writeBytes: 4 * heads * valueDimOf(p),
    flops: 2 * rows * groupSize(p) * elements,
  };
}

/** The decode step of NSA. */
export const nsa: Variant = defineVariant({
  name: "pipeline/nsa",
  stage: "rival",
  description: "Native Sparse Attention: compressed rows, top-16 blocks, window, gates; times only",
  tunables: {
    HEADS: [1, 2, 4, 5, 8, 16],
    "compressed.WORKGROUP": [128, 256, 512],
    "compressed.TILE": TILES,
    COMPRESSED_SPLITS: [8, 16, 32, 64],
    "blocks.WORKGROUP": WORKGROUPS,
    "branches.WORKGROUP": [128, 256, 512],
    "branches.TILE": TILES,
    GATHER_SPLITS: [4, 8, 16],
    WINDOW_SPLITS: [4, 8, 16],
    SCORED: [0, 1],
  },
  features: [],
  unequalRows: true,
  defaults,
  refuses,
  plan,
  cost,
});
