/** Causal attention over a whole prompt: the dense baseline of the prompt phase. */
import type { Cost, Kernel, Plan, Variant } from "../core/variant.ts";
import { type Params, ranges } from "../core/problem/constants.ts";
import { dispatch } from "../core/dispatch.ts";
import { specs } from "../core/layout.ts";
import { cachedTokens, groupSize, kvBytes, overSequences } from "../core/problem/derived.ts";
import type { Problem } from "../core/problem/problem.ts";
import { defineKernel, defineVariant } from "../core/define.ts";
import source from "./flash.wgsl" with { type: "text" };

const WORKGROUP: readonly number[] = [64, 128, 256, 512];
const ROWS: readonly number[] = [32, 64, 128];
const COLUMNS: readonly number[] = [32, 64, 128];
const COLUMN_THREADS: readonly number[] = [4, 8, 16, 32];
const DEPTH: readonly number[] = [2, 4, 8];
const PART: readonly number[] = [32, 64, 128];
const KEYS: readonly number[] = [4, 8, 16];

/** Most accumulators (scores and outputs) of a thread. With more, a GPU spills registers. */
const MOST_ACCUMULATORS = 160;

/**
 * Most operations of one dispatch: about 300 ms on an H100. Longer dispatches freeze displays and
 * trigger the watchdogs of drivers.
 */
export const DISPATCH_FLOPS = 8e12;

/** `flash.wgsl`. */
export const flashKernel: Kernel = defineKernel({
  name: "prefill/flash",
  source,
  params: {
    ...ranges("HEAD_DIM", "GROUP", "KV_HEADS", "CAPACITY", "KV_DTYPE"),
    WORKGROUP,
    ROWS,
    COLUMNS,
    COLUMN_THREADS,
    DEPTH,
    PART,
    KEYS,
  },
});

/**
 * Least traffic and arithmetic of a prompt's attention. Queries, K and V are read once, and outputs
 * are written. Each query head and each pair of a token and a token up to it needs two products of
 * 2 D operations.
 */
export function flashCost(p: Problem): Cost {
  const rows = cachedTokens(p);
  const queryBytes = 4 * rows * p.qHeads * p.headDim;
  const pairs = overSequences(p, (length) => length * (length + 1) / 2);
  return {
    streamBytes: 2 * rows * p.kvHeads * p.headDim * kvBytes(p.dtype) + queryBytes,
    gatherBytes: 0,
    writeBytes: queryBytes,
    flops: 4 * pairs * p.qHeads * p.headDim,
  };
}

/**
 * The reason that threads cannot share the products of a tile; undefined if they can.
 */
function refusesTiles(
  p: Pick<Problem, "headDim">,
  params: Params,
): string | undefined {
  const { WORKGROUP, ROWS, COLUMNS, COLUMN_THREADS, DEPTH, PART, KEYS } = params;
  const quads = p.headDim / 4;
  const rowThreads = WORKGROUP / COLUMN_THREADS;
  const [rows, columns] = [ROWS / rowThreads, COLUMNS / COLUMN_THREADS];
  if (quads % COLUMN_THREADS !== 0) {
    return `${COLUMN_THREADS} threads cannot share ${quads} vec4f of a row`;
  }
  if (rows % 4 !== 0) return `${rowThreads} threads cannot share ${ROWS} rows in fours`;
  if (quads % DEPTH !== 0) return `${quads} vec4f of a row are no whole chunks of ${DEPTH}`;
  if (COLUMNS % PART !== 0) return `${COLUMNS} keys are no whole parts of ${PART}`;
  if (PART % COLUMN_THREADS !== 0 || PART % KEYS !== 0) {
    return `${COLUMN_THREADS} threads cannot share a part of ${PART} keys, staged ${KEYS} at a time`;
  }
  const accumulators = rows * (columns + p.headDim / COLUMN_THREADS);
  if (accumulators > MOST_ACCUMULATORS) {
    return `${accumulators} accumulators overflow the registers of a thread`;
  }
}

/** Tiles per dispatch, so that even the tiles with the most keys do not take too long. */
function tilesOfPart(p: Problem, { ROWS }: Params): number {
  const flops = 4 * p.batch * p.kvHeads * ROWS * p.headDim * p.capacity;
  return Math.max(1, Math.floor(DISPATCH_FLOPS / flops));
}

function plan(p: Problem, params: Params): Plan {
  const tiles = Math.ceil(p.capacity * groupSize(p) / params.ROWS);
  const perPart = Math.min(tiles, tilesOfPart(p, params));
  return {
    buffers: {
      ...specs(p, "input", "lengths", "prompt_q", "keys", "values", "sink_logits"),
      ...specs(p, "output", "prompt_out"),
    },
    dispatches: Array.from(
      { length: Math.ceil(tiles / perPart) },
      (_, part) => dispatch(flashKernel, p, params, [p.kvHeads * p.batch, part + 1, perPart]),
    ),
  };
}

/** A setting for rows that are too short for many lanes. */
const NARROW: Params = {
  WORKGROUP: 64,
  ROWS: 64,
  COLUMNS: 64,
  COLUMN_THREADS: 8,
  DEPTH: 4,
  PART: 64,
  KEYS: 16,
};

/** Settings in order of preference: the first that the device does not refuse is used. */
const SETTINGS: readonly Params[] = [
  { WORKGROUP: 256, ROWS: 128, COLUMNS: 128, COLUMN_THREADS: 16, DEPTH: 4, PART: 64, KEYS: 16 },
  { WORKGROUP: 256, ROWS: 128, COLUMNS: 128, COLUMN_THREADS: 16, DEPTH: 4, PART: 32, KEYS: 16 },
  { WORKGROUP: 256, ROWS: 128, COLUMNS: 64, COLUMN_THREADS: 16, DEPTH: 4, PART: 32, KEYS: 16 },
  { WORKGROUP: 128, ROWS: 64, COLUMNS: 64, COLUMN_THREADS: 16, DEPTH: 4, PART: 32, KEYS: 8 },
  { WORKGROUP: 128, ROWS: 64, COLUMNS: 64, COLUMN_THREADS: 8, DEPTH: 4, PART: 32, KEYS: 8 },
  { WORKGROUP: 64, ROWS: 32, COLUMNS: 32, COLUMN_THREADS: 8, DEPTH: 4, PART: 32, KEYS: 4 },
  // Head dims of which 8 threads have no equal share.
  { WORKGROUP: 128, ROWS: 128, COLUMNS: 32, COLUMN_THREADS: 4, DEPTH: 2, PART: 32, KEYS: 8 },
  { WORKGROUP: 64, ROWS: 64, COLUMNS: 32, COLUMN_THREADS: 4, DEPTH: 2, PART: 32, KEYS: 8 },
];

/**
 * FlashAttention-2's forward pass (arXiv 2307.08691, section 3.1) in f32, causal, for prompts of
 * any lengths. Reads `prompt_q` and writes `prompt_out`, f32 [B, capacity, Hq, D].
 */
export const flash: Variant = defineVariant({
  name: "prefill/flash",
  stage: "prefill",
  description: "causal FlashAttention-2 in f32: tiles as outer products in registers",
  tunables: { WORKGROUP, ROWS, COLUMN_THREADS, COLUMNS, DEPTH, PART, KEYS },
  features: [],
  defaults(p, limits) {
    const settings = p.headDim === 64 ? [NARROW, ...SETTINGS] : SETTINGS;
    return settings.find((params) => !flash.refuses(p, params, limits)) ?? SETTINGS.at(-1)!;
  },
  refuses: refusesTiles,
  plan,
  cost: flashCost,
});
