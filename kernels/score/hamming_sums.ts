/** Distances with running sums over their bins, for the attention that selects for itself. */
import type { Contender, Kernel, Params, Plan } from "../contender.ts";
import { dispatch, ranges, specs } from "../layout.ts";
import { codeHeads, codeWords, maxDistance, type Problem, queriesPerList } from "../problem.ts";
import { refusesWorkgroup } from "../refusals.ts";
import { binSumsSpec, sumsBlock } from "./encode_score.ts";
import { blockCount, scoreCost } from "./hamming.ts";
import source from "./hamming_sums.wgsl" with { type: "text" };

/** `hamming_sums.wgsl`. */
export const hammingSumsKernel: Kernel = {
  name: "score/hamming_sums",
  source,
  bindings: [
    { name: "lengths", access: "read" },
    { name: "query_codes", access: "read" },
    { name: "codes", access: "read" },
    { name: "distances", access: "read_write" },
    { name: "bin_sums", access: "read_write" },
  ],
  params: {
    ...ranges("Q_HEADS", "CAPACITY", "BITS", "SINK", "RECENT"),
    SUBGROUP_MIN: [4, 8, 16, 32, 64, 128],
    WORKGROUP: [128, 256, 512],
    SPLITS: { min: 1, max: 64 },
    ROUNDS: [1, 2, 3, 4, 6, 8],
  },
  features: ["subgroups"],
};

/** Workgroups that score a list: shares of a few blocks, enough of them to fill a large GPU. */
function splitsFor(p: Problem, blockTokens: number): number {
  const enough = Math.ceil(512 / (p.batch * codeHeads(p)));
  return Math.max(1, Math.min(enough, blockCount(p.capacity, blockTokens), 32));
}

/** The second step of three: not a stage of its own, since the newest token is left to the next. */
export const hammingSums: Contender = {
  name: "score/hamming_sums",
  stage: "score",
  description: "XOR and popcount, distances packed, running sums over their bins",
  tunables: { WORKGROUP: [128, 256, 512], SPLITS: [4, 8, 16, 32], ROUNDS: [1, 2, 4, 8] },
  features: ["subgroups"],
  defaults(p, limits): Params {
    const WORKGROUP = 256;
    const SPLITS = splitsFor(p, sumsBlock({ WORKGROUP }));
    const share = blockCount(p.capacity, sumsBlock({ WORKGROUP })) / SPLITS;
    const ROUNDS =
      [8, 6, 4, 3, 2].find((rounds) => rounds <= Math.ceil(share) && rounds * codeWords(p) <= 12) ??
        1;
    return { SUBGROUP_MIN: limits.subgroupMinSize ?? 4, WORKGROUP, SPLITS, ROUNDS };
  },
  refuses(p, params, limits) {
    if (queriesPerList(p) > 1) return "it takes no code that query heads share";
    const bytes = (params.ROUNDS + 1) * (maxDistance(p) + 2) * 4;
    return refusesWorkgroup(params.WORKGROUP, bytes, limits);
  },
  plan: (p, params): Plan => ({
    buffers: {
      ...specs(p, "input", "lengths", "query_codes", "codes"),
      ...specs(p, "output", "distances"),
      ...binSumsSpec(p, { shares: params.SPLITS, blockTokens: sumsBlock(params) }, "output"),
    },
    dispatches: [
      dispatch(hammingSumsKernel, p, params, [params.SPLITS, codeHeads(p), p.batch]),
    ],
  }),
  cost: scoreCost,
};
