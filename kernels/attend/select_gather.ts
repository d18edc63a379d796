/** Select, gather-attend and merge in one dispatch, for devices with subgroups. */
import type { Cost, DeviceLimits, Kernel, Plan, Variant } from "../core/variant.ts";
import { CACHE_ROWS, type Params, ranges } from "../core/problem/constants.ts";
import { splitsFor } from "../dense/split.ts";
import { dispatch } from "../core/dispatch.ts";
import { histogramSpec, histogramStateSpec, specs } from "../core/layout.ts";
import {
  cachedTokens,
  distanceBytes,
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
import { BLOCK_RANGE, blockCount, blockFor, LONG_CACHE } from "../score/hamming.ts";
import { gatherCost } from "./gather.ts";
import { defineKernel, defineVariant } from "../core/define.ts";
import {
  countsSplits,
  HAND_OVER_CODE,
  handOverParam,
  handOverSpec,
  joinSplits,
  refusesHandOver,
} from "../merge/hand_over.ts";
import source from "./select_gather.wgsl" with { type: "text" };

/** `select_gather.wgsl`. */
export const selectGatherKernel: Kernel = defineKernel({
  name: "attend/select_gather",
  source,
  params: {
    ...ranges(
      "HEAD_DIM",
      "BATCH",
      "GROUP",
      "Q_HEADS",
      "CAPACITY",
      "PREFIX",
      "LIST_CAPACITY",
      "KV_DTYPE",
      "BITS",
    ),
    ...ranges("PLANES", "QUERIES_PER_CODE"),
    ...ranges(...CACHE_ROWS),
    FACTORS: [0, 1],
    LAST: { min: 1, max: 255 },
    ...ranges("TIES", "SINK", "RECENT", "K_COUNT", "SPARSITY"),
    BLOCK: BLOCK_RANGE,
    NEWEST: [0, 1],
    AHEAD: [1, 2, 3, 4],
    SUBGROUP_MIN: [4, 8, 16, 32, 64, 128],
    ...ROW_SPLIT_RANGES,
    SPLITS: { min: 1, max: 1024 },
    SHARES: { min: 0, max: 65535 },
    HELD_TOKENS: { min: 1, max: 65535 },
    HAND_OVER: Object.values(HAND_OVER_CODE),
  },
  features: ["subgroups"],
});

/** Places of a list that a workgroup attends at a time. */
function unitOf({ WORKGROUP, LANES, TOKENS }: Params): number {
  return WORKGROUP / LANES * TOKENS;
}

/** Units of a share at most, if the longest list has `units`. */
function mostUnits(params: Params, units: number): number {
  const held = Math.floor(params.HELD_TOKENS / unitOf(params));
  return Math.max(Math.ceil(units / params.SPLITS), held);
}

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
  const blocks = blockCount(p.capacity, params.BLOCK);
  if (blocks > workgroup) return `${workgroup} threads are too few for ${blocks} blocks`;
  return refusesHandOver(params, limits) ?? refusesShuffledRows(p, params, limits);
}

function plan(p: Problem, params: Params): Plan {
  const { SPLITS: splits, SHARES: shares } = params;
  const join = joinSplits(p, params, 1);
  const lists = { lists: p.batch * listHeads(p), heads: 1, splits, counted: countsSplits(params) };
  const units = Math.ceil(listCapacity(p) / unitOf(params));
  const fullest = Math.ceil(units / mostUnits(params, units));
  return {
    buffers: {
      ...specs(p, "input", "lengths", "q", "keys", "values", "sink_logits", "distances"),
      // A score that does not encode writes only histograms, which include the newest token.
      ...(params.NEWEST ? histogramStateSpec : histogramSpec)(p, params.BLOCK, "input"),
      ...handOverSpec(p, lists),
      ...join.buffers,
      ...specs(p, "output", "out"),
    },
    dispatches: [
      dispatch(
        selectGatherKernel,
        p,
        params,
        shares > 0
          ? [listHeads(p), mostPortions(p, shares, fullest), 1]
          : [splits, listHeads(p), p.batch],
        params.NEWEST ? undefined : { list_state: "block_histograms" },
      ),
      ...join.dispatches,
    ],
  };
}

/** Least traffic from distances to the output: every distance, and each selected row. */
export function selectGatherCost(p: Problem): Cost {
  const gathered = gatherCost(p);
  const distances = listHeads(p) * cachedTokens(p) * distanceBytes(p);
  return { ...gathered, streamBytes: gathered.streamBytes + distances };
}

/** From histograms to the output. It is not registered: it is verified as part of the step. */
export const selectGather: Variant = defineVariant({
  name: "attend/select_gather",
  stage: "attend",
  description: "counting select, attend and merge in one dispatch; the list stays on chip",
  tunables: {
    ...ROW_SPLIT_TUNABLES,
    AHEAD: [1, 2, 3, 4],
    SPLITS: [4, 8, 16, 32, 64],
    SHARES: [0, 8, 16, 32, 64],
  },
  features: ["subgroups"],
  sharedPrefix: "also",
  defaults(p, limits) {
    const ragged = isRagged(p);
    const batch = ragged ? 1 : p.batch;
    const lists = batch * listHeads(p);
    // Every workgroup repeats the selection's first steps, so few long lists get fewer, larger
    // ones.
    const long = p.capacity > 16384 && lists <= 64;
    const WORKGROUP = long ? 256 : 128;
    const LANES = lanesFor(p, Math.min(16, limits.subgroupMinSize ?? 4));
    const TOKENS = 4;
    const tile = WORKGROUP / LANES * TOKENS;
    const paramsFor = (most: number): Params => {
      const share = Math.ceil(listCapacity(p) / most / tile) * tile;
      const SPLITS = Math.ceil(listCapacity(p) / share); // each share has whole tiles
      return {
        // Must be the block of the score, whose histograms it reads.
        BLOCK: 1024,
        NEWEST: 0,
        SUBGROUP_MIN: limits.subgroupMinSize ?? 4,
        WORKGROUP,
        LANES,
        TOKENS,
        SPLITS,
        SHARES: ragged ? sharesFor(p, SPLITS) : 0,
        HELD_TOKENS: 1024,
        // More would stage more distances, but take the memory of other workgroups on the SM.
        AHEAD: 1,
        HAND_OVER: handOverParam(limits),
      };
    };
    const wanted = splitsFor({ ...p, batch }, listHeads(p), listCapacity(p), long ? 256 : 512);
    if (p.capacity <= LONG_CACHE / 2) return paramsFor(wanted);
    // The histograms leave little memory for a list's share, or for the partials of many shares.
    const fitting = [wanted, 16, 12, 20, 24, 8].map(paramsFor)
      .find((params) => !selectGather.refuses(p, { ...params, BLOCK: blockFor(p) }, limits));
    return fitting ?? paramsFor(wanted);
  },
  refuses,
  plan,
  cost: selectGatherCost,
});
