/** Rotate and score in one dispatch. This saves a dependent dispatch. */
import type { DeviceLimits, Kernel, Plan, Variant } from "../core/variant.ts";
import { CACHE_ROWS, MOST_GROUP, type Params, ranges } from "../core/problem/constants.ts";
import { dispatch } from "../core/dispatch.ts";
import { histogramStateSpec, specs } from "../core/layout.ts";
import { groupSize, isRagged } from "../core/problem/derived.ts";
import type { Problem } from "../core/problem/problem.ts";
import { refusesHeads } from "../core/row_split.ts";
import { sharesFor } from "../core/problem/shares.ts";
import { defineKernel, defineVariant } from "../core/define.ts";
import { LONG_CACHE } from "./hamming.ts";
import { rotatedCost, SCORED_HEADS, scoredHeads } from "./rotated.ts";
import source from "./rotate_score.wgsl" with { type: "text" };

const WORKGROUP: readonly number[] = [128, 256, 512, 1024];
const ROUND_COUNTS: readonly number[] = [1, 2, 4];

/** `rotate_score.wgsl`. */
export const rotateScoreKernel: Kernel = defineKernel({
  name: "score/rotate_score",
  source,
  params: {
    ...ranges("HEAD_DIM", "BATCH", "GROUP", "KV_HEADS", "CAPACITY", "KV_DTYPE", "BITS", "PLANES"),
    ...ranges("BINS", "RANGE", "SEED", "CENTRE", "SINK", "RECENT"),
    ...ranges(...CACHE_ROWS),
    HEADS: { min: 1, max: MOST_GROUP },
    SUBGROUP_MIN: [4, 8, 16, 32, 64, 128],
    WORKGROUP,
    SPLITS: { min: 1, max: 128 },
    SHARES: { min: 0, max: 65535 },
    ROUNDS: ROUND_COUNTS,
  },
  features: ["subgroups"],
});

/** Tokens of a block: those of a histogram. */
export function rotateScoreBlock({ WORKGROUP, ROUNDS }: Params): number {
  return 4 * WORKGROUP * ROUNDS;
}

/** Workgroups that a large GPU runs at a time, two on each processor. */
const ONE_WAVE = 256;

function refuses(p: Problem, params: Params, limits: DeviceLimits): string | undefined {
  const { SUBGROUP_MIN: subgroup, WORKGROUP: workgroup } = params;
  if (subgroup > (limits.subgroupMinSize ?? 0)) {
    return `subgroups may be smaller than ${subgroup} (${
      limits.subgroupMinSize ?? "unknown size"
    })`;
  }
  if (workgroup < subgroup) return `${workgroup} threads do not fill a subgroup of ${subgroup}`;
  return refusesHeads(groupSize(p), params);
}

/** The first half of a rotated step. It is not registered: it is verified as part of the step. */
export const rotateScore: Variant = defineVariant({
  name: "score/rotate_score",
  stage: "score",
  description: "every scoring workgroup rotates its queries; one more rotates the newest key",
  tunables: {
    WORKGROUP,
    HEADS: SCORED_HEADS,
    SPLITS: [1, 2, 4, 8, 16, 32, 64],
    SHARES: [0, 16, 32, 64, 128],
    ROUNDS: ROUND_COUNTS,
  },
  codes: "rotated",
  features: ["subgroups"],
  defaults(p, limits): Params {
    // Short caches have too few tokens for a wave of larger workgroups. Long ones need large blocks.
    const wanted = p.capacity > LONG_CACHE ? 512 : p.capacity > 8192 ? 256 : 128;
    const WORKGROUP = Math.min(wanted, limits.maxComputeInvocationsPerWorkgroup);
    const HEADS = scoredHeads(p);
    const rounds = Math.ceil(p.capacity / (4 * WORKGROUP));
    const ragged = isRagged(p);
    const lists = p.qHeads / HEADS * (ragged ? 1 : p.batch);
    const wave = Math.max(1, Math.floor(ONE_WAVE / lists));
    const SPLITS = Math.min(64, wave, rounds);
    const SHARES = ragged ? sharesFor(p, wave) : 0;
    // A workgroup should have one block: the end of a block costs a barrier. Of unequal sequences
    // shorter blocks can be shared out more evenly.
    const turns = rounds / SPLITS;
    const ROUNDS = ROUND_COUNTS.find((count) => count >= turns || (ragged && count > 1)) ?? 4;
    return { SUBGROUP_MIN: limits.subgroupMinSize ?? 4, WORKGROUP, HEADS, SPLITS, SHARES, ROUNDS };
  },
  refuses,
  plan: (p, params): Plan => ({
    buffers: {
      ...specs(p, "input", "lengths", "q", "keys", "key_stats"),
      ...specs(p, "output", "codes", "factors", "distances"),
      ...histogramStateSpec(p, rotateScoreBlock(params), "output", params.SPLITS),
    },
    dispatches: [
      dispatch(
        rotateScoreKernel,
        p,
        params,
        params.SHARES > 0
          ? [p.qHeads / params.HEADS, params.SHARES + 2 * p.batch - 1, 1]
          : [params.SPLITS + 1, p.qHeads / params.HEADS, p.batch],
      ),
    ],
  }),
  cost: rotatedCost,
});
