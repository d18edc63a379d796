/** Dense decode over a shared prefix as a cascade: the prefix once, the own tokens, their merge. */
import type { Cost, DeviceLimits, Kernel, Plan, Variant } from "../core/variant.ts";
import { type Params, ranges } from "../core/problem/constants.ts";
import { dispatch } from "../core/dispatch.ts";
import { partialSpecs, specs } from "../core/layout.ts";
import { mergeDispatch } from "../merge/merge.ts";
import {
  cachedTokens,
  distinctTokens,
  groupSize,
  kvBytes,
  prefixOf,
} from "../core/problem/derived.ts";
import type { Problem } from "../core/problem/problem.ts";
import { headsFor, lanesFor, refusesHeads, refusesRowSplit, tokensFor } from "../core/row_split.ts";
import { defineKernel, defineVariant } from "../core/define.ts";
import { splitKernel, splitsFor } from "./split.ts";
import source from "./cascade.wgsl" with { type: "text" };

const WORKGROUP: readonly number[] = [8, 16, 32, 48, 64, 96, 128, 160, 192, 256, 512];
const ROWS: readonly number[] = [4, 8, 16, 24, 32, 64, 128];
const COLUMNS: readonly number[] = [32, 64, 128, 256];
const COLUMN_THREADS: readonly number[] = [4, 8, 16, 32];
const DEPTH: readonly number[] = [2, 4, 8, 16];
const KEYS: readonly number[] = [4, 8, 16, 32];

/** Most accumulators (scores and outputs) of a thread. With more, a GPU spills registers. */
const MOST_ACCUMULATORS = 192;

/** Splits of the prefix that a tuner tries. */
const SPLITS: readonly number[] = [8, 16, 33, 66, 132];

/** `cascade.wgsl`. */
export const cascadeKernel: Kernel = defineKernel({
  name: "dense/cascade",
  source,
  params: {
    ...ranges("HEAD_DIM", "BATCH", "GROUP", "KV_HEADS", "PREFIX", "KV_DTYPE"),
    WORKGROUP,
    ROWS,
    COLUMNS,
    COLUMN_THREADS,
    DEPTH,
    KEYS,
    SPLITS: { min: 1, max: 1024 },
    OWN_SPLITS: { min: 1, max: 1024 },
  },
});

/** The parameters of `split.wgsl`, which attends the tokens behind the prefix. */
function ownParams(params: Params): Params {
  return {
    WORKGROUP: params["own.WORKGROUP"],
    LANES: params["own.LANES"],
    TOKENS: params["own.TOKENS"],
    HEADS: params["own.HEADS"],
    SPLITS: params["own.SPLITS"],
  };
}

/** Rows of a KV head: its query heads of all sequences. */
export function rowsOf(p: Problem): number {
  return p.batch * groupSize(p);
}

/** The plan with a kernel for the prefix, whose workgroups own `tileRows` rows. */
export function cascadePlan(kernel: Kernel, p: Problem, params: Params, tileRows: number): Plan {
  const own = ownParams(params);
  const splits = own.SPLITS + params.SPLITS;
  return {
    buffers: {
      ...specs(p, "input", "lengths", "q", "keys", "values", "sink_logits"),
      ...partialSpecs(p, splits, "scratch"),
      ...specs(p, "output", "out"),
    },
    dispatches: [
      dispatch(kernel, p, { ...params, OWN_SPLITS: own.SPLITS }, [
        params.SPLITS,
        p.kvHeads,
        Math.ceil(rowsOf(p) / tileRows),
      ]),
      dispatch(splitKernel, p, { ...own, MORE_SPLITS: params.SPLITS }, [
        own.SPLITS,
        p.qHeads / own.HEADS,
        p.batch,
      ]),
      mergeDispatch(p, splits),
    ],
  };
}

/** The reason that the own tokens cannot be attended with these parameters; undefined if they can. */
export function refusesOwn(p: Problem, params: Params): string | undefined {
  const own = ownParams(params);
  return refusesHeads(groupSize(p), own) ?? refusesRowSplit(p, own);
}

/** The default parameters for the own tokens. */
function ownDefaults(p: Problem): Params {
  const heads = headsFor(groupSize(p));
  return {
    "own.WORKGROUP": 128,
    "own.LANES": lanesFor(p, 16, heads),
    "own.TOKENS": tokensFor(heads, 128),
    "own.HEADS": heads,
    "own.SPLITS": splitsFor(p, p.qHeads / heads, p.capacity - prefixOf(p), 528),
  };
}

/** The reason that threads cannot share the products of a tile; undefined if they can. */
function refusesTiles(p: Problem, params: Params): string | undefined {
  const { WORKGROUP, ROWS, COLUMNS, COLUMN_THREADS, DEPTH, KEYS } = params;
  const quads = p.headDim / 4;
  const rowThreads = WORKGROUP / COLUMN_THREADS;
  const [rows, columns] = [ROWS / rowThreads, COLUMNS / COLUMN_THREADS];
  if (quads % COLUMN_THREADS !== 0) {
    return `${COLUMN_THREADS} threads cannot share ${quads} vec4f of a row`;
  }
  if (rows % 4 !== 0) return `${rowThreads} threads cannot share ${ROWS} rows in fours`;
  if (columns % 4 !== 0) return `${COLUMN_THREADS} threads cannot share ${COLUMNS} keys in fours`;
  if (quads % DEPTH !== 0) return `${quads} vec4f of a row are no chunks of ${DEPTH}`;
  if (COLUMNS % KEYS !== 0) return `${COLUMNS} keys are no chunks of ${KEYS}`;
  const accumulators = rows * (columns + p.headDim / COLUMN_THREADS);
  if (accumulators > MOST_ACCUMULATORS) {
    return `${accumulators} accumulators overflow the registers of a thread`;
  }
}

/** Rows of a workgroup: as few as there are, or the one of 32 and 24 that leaves fewer idle. */
function tileRows(p: Problem): number {
  const rows = rowsOf(p);
  const idle = (count: number) => (count - rows % count) % count;
  return [4, 8, 16].find((count) => count >= rows) ?? (idle(24) < idle(32) ? 24 : 32);
}

/** Settings of the products in order of preference: those of wider tiles first. */
function settingsOf(p: Problem): Params[] {
  const own = ownDefaults(p);
  const rows = tileRows(p);
  return ROWS.filter((count) => count <= rows).toReversed().flatMap((ROWS) =>
    COLUMN_THREADS.toReversed().flatMap((COLUMN_THREADS) =>
      (rows > 16 ? [8, 4] : [4, 8]).flatMap((columns) =>
        [4, 2].map((DEPTH): Params => {
          const rowThreads = COLUMN_THREADS === 32 && ROWS >= 8 ? ROWS / 8 : ROWS / 4;
          const COLUMNS = columns * COLUMN_THREADS;
          // A chunk of values takes no more memory than one of keys.
          const keys = KEYS.toReversed().find((count) => count * p.headDim <= DEPTH * 4 * COLUMNS);
          // Two workgroups for each processor of a large GPU, or four where they take less memory.
          const lists = p.kvHeads * Math.ceil(rowsOf(p) / ROWS);
          const wave = Math.floor((COLUMNS < 256 ? 528 : 264) / lists);
          return {
            WORKGROUP: rowThreads * COLUMN_THREADS,
            ROWS,
            COLUMNS,
            COLUMN_THREADS,
            DEPTH,
            KEYS: keys ?? 4,
            SPLITS: Math.max(1, Math.min(wave, Math.ceil(prefixOf(p) / COLUMNS))),
            ...own,
          };
        })
      )
    )
  );
}

function defaults(p: Problem, limits: DeviceLimits): Params {
  const settings = settingsOf(p);
  return settings.find((params) => !cascade.refuses(p, params, limits)) ?? settings[0];
}

/**
 * Least traffic and arithmetic: K and V of the prefix are read once for all sequences, but every query
 * head multiplies with every token. With more than about 16 rows these f32 operations bind.
 */
export function cascadeCost(p: Problem): Cost {
  const qBytes = p.batch * p.qHeads * p.headDim * 4;
  return {
    streamBytes: 2 * p.kvHeads * distinctTokens(p) * p.headDim * kvBytes(p.dtype) + qBytes,
    gatherBytes: 0,
    writeBytes: qBytes,
    flops: 4 * p.qHeads * cachedTokens(p) * p.headDim,
  };
}

/** Dense decode of sequences that share a prefix. */
export const cascade: Variant = defineVariant({
  name: "dense/cascade",
  stage: "dense",
  description: "3 dispatches: a shared prefix once for all sequences, their own tokens, merge",
  tunables: {
    WORKGROUP: [32, 64, 128, 256],
    ROWS,
    COLUMN_THREADS,
    COLUMNS,
    DEPTH,
    KEYS,
    SPLITS,
    "own.SPLITS": [1, 2, 4, 8, 16],
  },
  features: [],
  sharedPrefix: "only",
  defaults,
  refuses: (p, params) => refusesTiles(p, params) ?? refusesOwn(p, params),
  plan: (p, params) => cascadePlan(cascadeKernel, p, params, params.ROWS),
  cost: cascadeCost,
});
