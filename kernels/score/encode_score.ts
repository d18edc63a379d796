/**
 * Encode and score in one dispatch. This saves a dependent dispatch and hides the maps' latency.
 */
import type { DeviceLimits, Kernel, Plan, Variant } from "../core/variant.ts";
import { CACHE_ROWS, type Params, ranges } from "../core/problem/constants.ts";
import { dispatch } from "../core/dispatch.ts";
import { histogramStateSpec, specs } from "../core/layout.ts";
import { codeHeads, codeWords, isRagged, maxDistance } from "../core/problem/derived.ts";
import type { Problem } from "../core/problem/problem.ts";
import { blockCount, scoreCost } from "./hamming.ts";
import { defineKernel, defineVariant } from "../core/define.ts";
import source from "./encode_score.wgsl" with { type: "text" };

/** `encode_score.wgsl`. */
export const encodeScoreKernel: Kernel = defineKernel({
  name: "score/encode_score",
  source,
  params: {
    ...ranges(
      "HEAD_DIM",
      "BATCH",
      "GROUP",
      "Q_HEADS",
      "CAPACITY",
      "KV_DTYPE",
      "BITS",
      "PLANES",
      "SINK",
      "RECENT",
    ),
    ...ranges("MAP_LAYERS", "MAP_HIDDEN", "MAP_DTYPE"),
    ...ranges(...CACHE_ROWS),
    SUBGROUP_MIN: [4, 8, 16, 32, 64, 128],
    WORKGROUP: [128, 256, 512, 1024],
    ROWS: [2, 4, 8],
    SPLITS: { min: 1, max: 64 },
    SHARES: { min: 0, max: 65535 },
    ROUNDS: [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 16],
  },
  features: ["subgroups"],
});

/** Tokens of a block: those that a scoring workgroup processes at a time. */
export function encodeScoreBlock(params: Params): number {
  return 4 * params.WORKGROUP;
}

/** Rounds for a split's share of the blocks at capacity, in as few turns as registers allow. */
function roundsFor(p: Problem, workgroup: number, splits: number): number {
  const blocks = Math.ceil(blockCount(p.capacity, 4 * workgroup) / splits);
  const registers = Math.floor((workgroup > 512 ? 4 : 12) / codeWords(p));
  const most = Math.max(1, Math.min(registers, Math.floor(1024 / (maxDistance(p) + 1))));
  return Math.ceil(blocks / Math.ceil(blocks / most));
}

/** Weights of a 16-byte load. */
function loadWidth({ map }: Problem): number {
  return map.dtype === "f16" ? 8 : 4;
}

function refuses(p: Problem, params: Params, limits: DeviceLimits): string | undefined {
  const { WORKGROUP: workgroup, ROWS: rows, SUBGROUP_MIN: subgroup } = params;
  if (p.sharing !== "head") return "it does not support codes that query heads share";
  if (maxDistance(p) > 255) return `its distances are bytes, and ${maxDistance(p)} is larger`;
  if (subgroup > (limits.subgroupMinSize ?? 0)) {
    return `subgroups may be smaller than ${subgroup} (${
      limits.subgroupMinSize ?? "unknown size"
    })`;
  }
  const width = loadWidth(p);
  if (rows > width) return `a load of ${width} weights cannot be shared by ${rows} rows`;
  if (rows > subgroup) return `a subgroup of ${subgroup} cannot hold ${rows} rows`;
  const kept = width / rows;
  const widest = Math.max(p.bits, p.map.layers > 1 ? p.map.hidden : 0);
  if (workgroup * kept < widest) {
    return `${workgroup} threads that keep ${kept} sums are too few for ${widest} outputs of a layer`;
  }
}

/** The first half of a sparse step. It is not registered: it is verified as part of the step. */
export const encodeScore: Variant = defineVariant({
  name: "score/encode_score",
  stage: "score",
  description: "every scoring workgroup encodes its query; one more workgroup encodes the new key",
  tunables: {
    WORKGROUP: [128, 256, 512, 1024],
    ROWS: [2, 4, 8],
    SPLITS: [1, 2, 3, 4, 6, 8],
    SHARES: [0, 3, 6, 12, 24],
    ROUNDS: [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 16],
  },
  codes: "map",
  features: ["subgroups"],
  defaults(p, limits): Params {
    const ragged = isRagged(p);
    const lists = codeHeads(p) * (ragged ? 1 : p.batch);
    const SPLITS = Math.max(1, Math.min(16, Math.floor(128 / lists) - 1));
    const wanted = p.capacity > 65536 ? 1024 : p.capacity > 4096 ? 512 : 256;
    const SUBGROUP_MIN = limits.subgroupMinSize ?? 4;
    const paramsFor = (WORKGROUP: number): Params => ({
      SUBGROUP_MIN,
      WORKGROUP,
      ROWS: Math.min(SUBGROUP_MIN, loadWidth(p), WORKGROUP > 512 ? 8 : 4),
      SPLITS,
      SHARES: ragged ? SPLITS : 0,
      ROUNDS: roundsFor(p, WORKGROUP, SPLITS),
    });
    return [1024, 512, 256].filter((threads) => threads <= wanted).map(paramsFor)
      .find((params) => !encodeScore.refuses(p, params, limits)) ?? paramsFor(256);
  },
  refuses,
  plan: (p, params): Plan => ({
    buffers: {
      ...specs(p, "input", "lengths", "q", "keys", "query_map", "key_map"),
      ...specs(p, "output", "codes", "distances"),
      ...histogramStateSpec(p, encodeScoreBlock(params), "output"),
    },
    dispatches: [
      dispatch(
        encodeScoreKernel,
        p,
        params,
        params.SHARES > 0
          ? [codeHeads(p), params.SHARES + 2 * p.batch - 1, 1]
          : [params.SPLITS + 1, codeHeads(p), p.batch],
      ),
    ],
  }),
  cost: scoreCost,
});
