/** Select, gather-attend and merge in one dispatch, for short lists over long caches. */
import type { DeviceLimits, Kernel, Plan, Variant } from "../core/variant.ts";
import { CACHE_ROWS, type Params, ranges } from "../core/problem/constants.ts";
import { dispatch } from "../core/dispatch.ts";
import { histogramStateSpec, specs } from "../core/layout.ts";
import {
  isRagged,
  listCapacity,
  listHeads,
  maxDistance,
  queriesPerList,
} from "../core/problem/derived.ts";
import type { Problem } from "../core/problem/problem.ts";
import { mostPortions, sharesFor } from "../core/problem/shares.ts";
import {
  lanesFor,
  refusesShuffledRows,
  ROW_SPLIT_RANGES,
  ROW_SPLIT_TUNABLES,
} from "../core/row_split.ts";
import { blockCount, LONG_CACHE } from "../score/hamming.ts";
import { defineKernel, defineVariant } from "../core/define.ts";
import {
  countsSplits,
  HAND_OVER_CODE,
  handOverParam,
  handOverSpec,
  joinSplits,
  refusesHandOver,
} from "../merge/hand_over.ts";
import { selectGatherCost } from "./select_gather.ts";
import source from "./select_gather_tokens.wgsl" with { type: "text" };

const CHUNK: readonly number[] = [128, 256, 512, 1024];

/** `select_gather_tokens.wgsl`. */
export const selectGatherTokensKernel: Kernel = defineKernel({
  name: "attend/select_gather_tokens",
  source,
  params: {
    ...ranges("HEAD_DIM", "BATCH", "GROUP", "Q_HEADS", "CAPACITY", "KV_DTYPE", "BITS", "PLANES"),
    ...ranges(...CACHE_ROWS),
    ...ranges("QUERIES_PER_CODE", "TIES", "SINK", "RECENT", "K_COUNT", "SPARSITY"),
    FACTORS: [0, 1],
    LAST: { min: 1, max: 255 },
    BLOCK: [512, 1024, 2048, 4096, 8192],
    SCORE_SPLITS: { min: 1, max: 128 },
    SCORE_SHARES: { min: 0, max: 65535 },
    SUBGROUP_MIN: [4, 8, 16, 32, 64, 128],
    ...ROW_SPLIT_RANGES,
    CHUNK,
    SPLITS: { min: 1, max: 64 },
    SHARES: { min: 0, max: 65535 },
    HELD_LOADS: { min: 1, max: 8 },
    // Pages of the device's memory have 2 MB; smaller values are for tests.
    TOUCH: [0, 2 ** 16, 2 ** 21],
    HAND_OVER: Object.values(HAND_OVER_CODE),
  },
  features: ["subgroups"],
});

/** 16-byte loads of distances that a thread holds. */
function threadLoads(p: Problem, params: Params): number {
  return Math.ceil(mostBlocks(p, params) * params.BLOCK / 16 / params.WORKGROUP);
}

/** Blocks of a workgroup at most. */
function mostBlocks(p: Problem, params: Params): number {
  const { BLOCK, SPLITS, SHARES, HELD_LOADS, WORKGROUP } = params;
  const least = Math.ceil(blockCount(p.capacity, BLOCK) / SPLITS);
  const held = SHARES > 0 ? Math.floor(HELD_LOADS * 16 * WORKGROUP / BLOCK) : 0;
  return Math.max(least, held);
}

/** More loads than this do not fit the registers of a thread beside a query. */
const MOST_LOADS = 8;

function refuses(p: Problem, params: Params, limits: DeviceLimits): string | undefined {
  const { WORKGROUP: workgroup } = params;
  if (queriesPerList(p) > 1) return "it does not support lists that query heads share";
  if (maxDistance(p) > 255) return `its distances are bytes, and ${maxDistance(p)} is larger`;
  if (workgroup <= p.headDim / 4) {
    return `${workgroup} threads are too few for a row of ${p.headDim}`;
  }
  if (workgroup < params.SUBGROUP_MIN) {
    return `${workgroup} threads do not fill a subgroup of ${params.SUBGROUP_MIN}`;
  }
  if (params.SCORE_SHARES > 0 && params.SHARES === 0) {
    return "SHARES is 0, but the score's is not";
  }
  const blocks = blockCount(p.capacity, params.BLOCK);
  if (blocks > workgroup) return `${workgroup} threads are too few for ${blocks} blocks`;
  if (threadLoads(p, params) > MOST_LOADS) {
    return `${params.SPLITS} splits of ${workgroup} threads are too few for ${p.capacity} tokens`;
  }
  return refusesHandOver(params, limits) ?? refusesShuffledRows(p, params, limits);
}

function plan(p: Problem, params: Params): Plan {
  // A single split has nothing to hand over.
  const { SPLITS: splits, SHARES: shares } = params;
  const join = splits > 1 ? joinSplits(p, params, 1) : { buffers: {}, dispatches: [] };
  const lists = { lists: p.batch * listHeads(p), heads: 1, splits, counted: countsSplits(params) };
  const fullest = Math.ceil(blockCount(p.capacity, params.BLOCK) / mostBlocks(p, params));
  return {
    buffers: {
      ...specs(p, "input", "lengths", "q", "keys", "values", "sink_logits", "distances"),
      ...histogramStateSpec(p, params.BLOCK, "input", params.SCORE_SPLITS),
      ...handOverSpec(p, lists),
      ...join.buffers,
      ...specs(p, "output", "out"),
    },
    dispatches: [
      dispatch(
        selectGatherTokensKernel,
        p,
        params,
        shares > 0
          ? [listHeads(p), mostPortions(p, shares, fullest), 1]
          : [splits, listHeads(p), p.batch],
      ),
      ...join.dispatches,
    ],
  };
}

/** Rows that a workgroup attends at least, where there are several. */
const LEAST_ROWS = 64;

/** Rows that a workgroup reads side by side. */
const MOST_ROW_GROUPS = 32;

/** Threads and workgroups that a large GPU runs at a time. */
const ONE_WAVE = { threads: 65536, workgroups: 512 } as const;

function defaults(p: Problem, limits: DeviceLimits): Params {
  const ragged = isRagged(p);
  const lists = listHeads(p) * (ragged ? 1 : p.batch);
  const isLong = p.capacity > LONG_CACHE;
  // Enough splits for the rows and for the scan, and not more than fill the device.
  const rows = Math.ceil(listCapacity(p) / LEAST_ROWS);
  const wave = Math.max(1, Math.floor(ONE_WAVE.workgroups / lists));
  const wanted = 2 ** Math.round(Math.log2(Math.max(1, Math.min(rows, wave))));
  const isWide = lists * wanted * 256 <= ONE_WAVE.threads;
  const LANES = lanesFor(p, Math.min(isWide ? 8 : 16, limits.subgroupMinSize ?? 4));
  const paramsFor = (WORKGROUP: number, SPLITS: number): Params => ({
    // Must be the blocks and splits of the score, whose histograms it reads.
    BLOCK: isLong ? 8192 : 2048,
    SCORE_SPLITS: 16,
    SCORE_SHARES: 0,
    SUBGROUP_MIN: limits.subgroupMinSize ?? 4,
    WORKGROUP,
    LANES,
    TOKENS: isWide ? 2 : 4,
    CHUNK: 256,
    SPLITS,
    SHARES: ragged ? sharesFor(p, SPLITS) : 0,
    // More take the registers of other workgroups.
    HELD_LOADS: 6,
    // Touches pay where each layer of a model has a cache of its own: tune with that many layers.
    TOUCH: 0,
    HAND_OVER: handOverParam(limits),
  });
  // The partials of more rows than that do not fit the workgroup memory of small devices.
  const fitting = [256, 128].filter((threads) => threads / LANES <= MOST_ROW_GROUPS);
  const order = isWide || isLong ? fitting : fitting.toSorted((a, b) => a - b);
  const settings = order.flatMap((threads) =>
    [1, 2, 4, 8, 16, 32, 64].filter((splits) => splits >= Math.min(64, wanted))
      .map((splits) => paramsFor(threads, splits))
  );
  return settings.find((params) => !refuses(p, params, limits)) ?? settings[0];
}

/** From histograms to the output. It is not registered: it is verified as part of the step. */
export const selectGatherTokens: Variant = defineVariant({
  name: "attend/select_gather_tokens",
  stage: "attend",
  description: "select, attend and merge in one dispatch; workgroups share out the tokens",
  tunables: {
    ...ROW_SPLIT_TUNABLES,
    CHUNK,
    SPLITS: [1, 2, 4, 8, 16, 32, 64],
    SHARES: [0, 8, 16, 32, 64, 128],
    TOUCH: [0, 2 ** 21],
  },
  features: ["subgroups"],
  defaults,
  refuses,
  plan,
  cost: selectGatherCost,
});
