/** Encode and score in one dispatch, for codes that the query heads of a group share (HATA). */
import type { DeviceLimits, Kernel, Plan, Variant } from "../core/variant.ts";
import { CACHE_ROWS, type Params, ranges } from "../core/problem/constants.ts";
import { dispatch } from "../core/dispatch.ts";
import { rankStateSpec, specs } from "../core/layout.ts";
import { codeHeads, codeWords, planesOf, queriesPerList } from "../core/problem/derived.ts";
import type { Problem } from "../core/problem/problem.ts";
import { blockCount, scoreCost } from "./hamming.ts";
import { defineKernel, defineVariant } from "../core/define.ts";
import source from "./encode_score_group.wgsl" with { type: "text" };

/** Tokens per row of ranks. A rank has 16 bits, which bounds the tokens of a block. */
export const RANK_BLOCKS = [512, 1024, 2048, 4096, 8192, 16384, 32768] as const;

/** `encode_score_group.wgsl`. */
export const encodeScoreGroupKernel: Kernel = defineKernel({
  name: "score/encode_score_group",
  source,
  params: {
    ...ranges(
      "HEAD_DIM",
      "BATCH",
      "GROUP",
      "QUERIES_PER_LIST",
      "CODE_HEADS",
      "CAPACITY",
      "KV_DTYPE",
    ),
    ...ranges("BITS", "DISTANCE_BYTES", "SINK", "RECENT", "MAP_DTYPE"),
    ...ranges(...CACHE_ROWS),
    BLOCK: RANK_BLOCKS,
    SUBGROUP_MIN: [4, 8, 16, 32, 64, 128],
    WORKGROUP: [128, 256, 512, 1024],
    SPLITS: { min: 1, max: 64 },
    AHEAD: [1, 2, 3, 4, 5, 6, 8, 10, 12, 16],
    STAGES: [1, 2, 4, 8],
    SLICES: [1, 2, 4, 8, 16, 32],
  },
  features: ["subgroups"],
});

/** Query heads of the largest group whose queries and sums a thread holds. */
const MOST_SHARED = 16;

/** The reason that a workgroup cannot hold all query heads of a group; undefined if it can. */
export function refusesGroup(p: Problem): string | undefined {
  const queries = queriesPerList(p);
  if (queries > MOST_SHARED) {
    return `it holds ${MOST_SHARED} query heads of a group at most, not ${queries}; ` +
      "pipeline/sparse_four takes more of them, pipeline/sparse_sorted takes all";
  }
}

function refuses(p: Problem, params: Params): string | undefined {
  const { WORKGROUP: workgroup, SLICES: slices, BLOCK: block } = params;
  if (p.sharing === "kv") return "it does not support a selection for each head that shares a code";
  if (planesOf(p) > 0) return "it does not weigh the bits of a code";
  const why = refusesGroup(p);
  if (why) return why;
  if (p.map.layers > 1) return `it supports maps of 1 layer, not ${p.map.layers}`;
  const columns = p.bits / (p.map.dtype === "f16" ? 2 : 1);
  if (workgroup < slices * columns || workgroup < p.bits) {
    return `${workgroup} threads are too few for ${slices} slices of ${p.bits} outputs`;
  }
  const window = workgroup * 4 / codeWords(p);
  if (block % window !== 0) {
    return `${block} tokens are not a multiple of the ${window} that ${workgroup} threads load`;
  }
  if (workgroup < params.SUBGROUP_MIN) {
    return `${workgroup} threads do not fill a subgroup of ${params.SUBGROUP_MIN}`;
  }
}

/** Most blocks of a list at capacity: enough to divide evenly, and few enough to search quickly. */
export const MOST_BLOCKS = 128;

/** Settings for a workgroup size, best first. */
function* settings(p: Problem, WORKGROUP: number, fixed: Params): Generator<Params> {
  // With 1024 threads, each thread has few registers.
  const AHEAD = WORKGROUP > 512 ? 4 : 8;
  for (const STAGES of [1, 2, 4, 8]) {
    for (const SLICES of [16, 8, 4, 2, 1]) {
      for (const BLOCK of RANK_BLOCKS) {
        if (blockCount(p.capacity, BLOCK) > MOST_BLOCKS) continue;
        yield { ...fixed, WORKGROUP, AHEAD, STAGES, SLICES, BLOCK };
      }
    }
  }
}

function defaults(p: Problem, limits: DeviceLimits): Params {
  // About 128 workgroups, as many as a large GPU has processors, including one per list that
  // encodes
  // the new key. Each split has at least one block.
  const most = Math.min(64, blockCount(p.capacity, RANK_BLOCKS[0]));
  const SPLITS = Math.max(1, Math.min(most, Math.floor(128 / (codeHeads(p) * p.batch)) - 1));
  const share = p.capacity / SPLITS;
  const wanted = share > 4096 ? 1024 : share > 1024 ? 512 : 256;
  const fixed = { SPLITS, SUBGROUP_MIN: limits.subgroupMinSize ?? 4 };
  for (const workgroup of [1024, 512, 256, 128].filter((threads) => threads <= wanted)) {
    for (const params of settings(p, workgroup, fixed)) {
      if (!encodeScoreGroup.refuses(p, params, limits)) return params;
    }
  }
  return { ...fixed, WORKGROUP: 256, AHEAD: 8, STAGES: 8, SLICES: 1, BLOCK: 4096 };
}

/** The first half of a sparse step. It is not registered: it is verified as part of the step. */
export const encodeScoreGroup: Variant = defineVariant({
  name: "score/encode_score_group",
  stage: "score",
  description: "every scoring workgroup encodes its group's queries and writes ranks, not counts",
  tunables: {
    WORKGROUP: [128, 256, 512, 1024],
    SPLITS: [1, 3, 7, 15, 16, 32],
    BLOCK: RANK_BLOCKS,
    AHEAD: [1, 2, 3, 4, 5, 6, 8, 10],
    STAGES: [1, 2, 4, 8],
    SLICES: [1, 2, 4, 8, 16],
  },
  codes: "map",
  features: ["subgroups"],
  defaults,
  refuses,
  plan: (p, params): Plan => ({
    buffers: {
      ...specs(p, "input", "lengths", "q", "keys", "query_map", "key_map"),
      ...specs(p, "output", "codes", "distances"),
      ...rankStateSpec(p, params.BLOCK, "output"),
    },
    dispatches: [
      dispatch(encodeScoreGroupKernel, p, params, [params.SPLITS + 1, codeHeads(p), p.batch]),
    ],
  }),
  cost: scoreCost,
});
