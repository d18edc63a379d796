/** Select, gather-attend and merge in one dispatch, for lists that a group's query heads share. */
import type { DeviceLimits, Kernel, Plan, Variant } from "../core/variant.ts";
import { CACHE_ROWS, type Params, ranges } from "../core/problem/constants.ts";
import { splitsFor } from "../dense/split.ts";
import { dispatch } from "../core/dispatch.ts";
import { rankStateSpec, specs } from "../core/layout.ts";
import { listCapacity, listHeads, queriesPerList } from "../core/problem/derived.ts";
import type { Problem } from "../core/problem/problem.ts";
import {
  lanesFor,
  refusesShuffledRows,
  ROW_SPLIT_RANGES,
  ROW_SPLIT_TUNABLES,
} from "../core/row_split.ts";
import { MOST_BLOCKS, RANK_BLOCKS, refusesGroup } from "../score/encode_score_group.ts";
import { blockCount } from "../score/hamming.ts";
import { selectGatherCost } from "./select_gather.ts";
import { defineKernel, defineVariant } from "../core/define.ts";
import {
  HAND_OVER_CODE,
  handOverParam,
  handOverSpec,
  joinSplits,
  refusesHandOver,
} from "../merge/hand_over.ts";
import source from "./select_gather_group.wgsl" with { type: "text" };

/** `select_gather_group.wgsl`. */
export const selectGatherGroupKernel: Kernel = defineKernel({
  name: "attend/select_gather_group",
  source,
  params: {
    ...ranges("HEAD_DIM", "BATCH", "GROUP", "QUERIES_PER_LIST", "SEQUENCE_LISTS", "CAPACITY"),
    ...ranges(...CACHE_ROWS),
    ...ranges(
      "LIST_CAPACITY",
      "KV_DTYPE",
      "BITS",
      "DISTANCE_BYTES",
      "TIES",
      "SINK",
      "RECENT",
      "K_COUNT",
      "SPARSITY",
    ),
    BLOCK: RANK_BLOCKS,
    SUBGROUP_MIN: [4, 8, 16, 32, 64, 128],
    ...ROW_SPLIT_RANGES,
    WORKGROUP: [64, 128, 256, 512],
    TOGETHER: [1, 2, 4],
    SPLITS: { min: 1, max: 1024 },
    HAND_OVER: Object.values(HAND_OVER_CODE),
  },
  features: ["subgroups"],
});

function refuses(p: Problem, params: Params, limits: DeviceLimits): string | undefined {
  const { WORKGROUP: workgroup, TOGETHER: together } = params;
  const why = refusesGroup(p);
  if (why) return why;
  const blocks = blockCount(p.capacity, params.BLOCK);
  if (blocks > workgroup) return `${workgroup} threads are too few for ${blocks} blocks`;
  if (together > queriesPerList(p)) {
    return `${together} heads cannot be joined at a time, since a list has ${queriesPerList(p)}`;
  }
  if (workgroup < params.SUBGROUP_MIN) {
    return `${workgroup} threads do not fill a subgroup of ${params.SUBGROUP_MIN}`;
  }
  return refusesHandOver(params, limits) ?? refusesShuffledRows(p, params, limits);
}

function plan(p: Problem, params: Params): Plan {
  const heads = queriesPerList(p);
  const state = rankStateSpec(p, params.BLOCK, "input");
  const join = joinSplits(p, params, heads, { buffer: "list_state", spec: state.list_state });
  return {
    buffers: {
      ...specs(p, "input", "lengths", "q", "keys", "values", "sink_logits", "distances"),
      ...state,
      ...handOverSpec(p, { lists: p.batch * listHeads(p), heads, splits: params.SPLITS }),
      ...join.buffers,
      ...specs(p, "output", "out"),
    },
    dispatches: [
      dispatch(selectGatherGroupKernel, p, params, [params.SPLITS, listHeads(p), p.batch]),
      ...join.dispatches,
    ],
  };
}

function defaults(p: Problem, limits: DeviceLimits): Params {
  const queries = queriesPerList(p);
  // With fewer workgroups, the last one has fewer partials to read.
  const long = p.capacity > 16384 && queries <= 8;
  const LANES = lanesFor(p, Math.min(16, limits.subgroupMinSize ?? 4), queries);
  const SPLITS = Math.min(64, splitsFor(p, listHeads(p), listCapacity(p), long ? 128 : 256));
  const paramsFor = (WORKGROUP: number, TOGETHER: number): Params => ({
    // Must be the block of the score, whose ranks it reads.
    BLOCK: RANK_BLOCKS.find((block) => blockCount(p.capacity, block) <= MOST_BLOCKS) ?? 32768,
    SUBGROUP_MIN: limits.subgroupMinSize ?? 4,
    WORKGROUP,
    LANES,
    // Registers hold a query and a sum for each head, so more heads leave room for fewer rows.
    TOKENS: queries > 4 ? 2 : 4,
    TOGETHER,
    SPLITS,
    HAND_OVER: handOverParam(limits),
  });
  // With small subgroups a workgroup has more row groups and needs more memory.
  const settings = [256, 128, 64]
    .flatMap((threads) => [paramsFor(threads, 2), paramsFor(threads, 1)]);
  return settings.find((params) => !selectGatherGroup.refuses(p, params, limits)) ?? settings[1];
}

/** From ranks to the output. It is not registered: it is verified as part of the step. */
export const selectGatherGroup: Variant = defineVariant({
  name: "attend/select_gather_group",
  stage: "attend",
  description: "counting select, attend for a whole GQA group and merge in one dispatch",
  tunables: {
    ...ROW_SPLIT_TUNABLES,
    WORKGROUP: [64, 128, 256, 512],
    TOGETHER: [1, 2, 4],
    SPLITS: [4, 8, 16, 32, 64],
  },
  features: ["subgroups"],
  defaults,
  refuses,
  plan,
  cost: selectGatherCost,
});
