/** Encode and score in one dispatch: saves a dependent dispatch and hides the maps' latency. */
import type {
  BufferRole,
  BufferSpec,
  Contender,
  DeviceLimits,
  Kernel,
  Params,
  Plan,
} from "../contender.ts";
import { refusesMap } from "../encode/token.ts";
import { dispatch, ranges, specs } from "../layout.ts";
import { refusesBindings } from "../refusals.ts";
import { codeHeads, codeWords, maxDistance, type Problem, queriesPerList } from "../problem.ts";
import { blockCount, scoreCost } from "./hamming.ts";
import source from "./encode_score.wgsl" with { type: "text" };

/** `encode_score.wgsl`. */
export const encodeScoreKernel: Kernel = {
  name: "score/encode_score",
  source,
  bindings: [
    { name: "lengths", access: "read" },
    { name: "q", access: "read" },
    { name: "keys", access: "read" },
    { name: "query_map", access: "read" },
    { name: "key_map", access: "read" },
    { name: "query_codes", access: "read_write" },
    { name: "codes", access: "read_write" },
    { name: "distances", access: "read_write" },
    { name: "bin_sums", access: "read_write" },
  ],
  params: {
    ...ranges("HEAD_DIM", "GROUP", "Q_HEADS", "CAPACITY", "KV_DTYPE", "BITS", "SINK", "RECENT"),
    ...ranges("MAP_LAYERS", "MAP_HIDDEN", "MAP_DTYPE"),
    SUBGROUP_MIN: [4, 8, 16, 32, 64, 128],
    WORKGROUP: [128, 256, 512, 1024],
    SPLITS: { min: 1, max: 64 },
    ROUNDS: [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 16],
  },
  features: ["subgroups"],
};

/** Spec of the running sums over the bins of a list's shares and blocks. */
export function binSumsSpec(
  p: Problem,
  { shares, blockTokens }: { readonly shares: number; readonly blockTokens: number },
  role: BufferRole,
): Record<string, BufferSpec> {
  const rows = p.batch * codeHeads(p) * (shares + blockCount(p.capacity, blockTokens));
  return { bin_sums: { bytes: rows * (maxDistance(p) + 2) * 4, role } };
}

/** Tokens of a block of sums: what the scoring workgroup takes at a time. */
export function sumsBlock(params: Params): number {
  return 4 * params.WORKGROUP;
}

/** Rounds that hold a split's share of the blocks at capacity, as far as registers go. */
function roundsFor(p: Problem, workgroup: number, splits: number): number {
  const blocks = Math.ceil(blockCount(p.capacity, 4 * workgroup) / splits);
  const most = Math.max(1, Math.floor(12 / codeWords(p)));
  const bytes = (rounds: number) => rounds * (maxDistance(p) + 2) * 4;
  return [12, 8, 6, 4, 3, 2].find((rounds) =>
    rounds <= most && bytes(rounds) <= 4096 && (rounds <= blocks || rounds - blocks < 2)
  ) ?? 1;
}

function refuses(p: Problem, params: Params, limits: DeviceLimits): string | undefined {
  if (queriesPerList(p) > 1) return "it takes no code that query heads share";
  const bytes = (params.ROUNDS + 1) * (maxDistance(p) + 2) * 4 + 64;
  return refusesBindings(encodeScoreKernel, limits) ?? refusesMap(p, params, limits, bytes);
}

/** The first half of a sparse step: not a stage of its own, since its codes are judged with the step. */
export const encodeScore: Contender = {
  name: "score/encode_score",
  stage: "score",
  description: "every scoring workgroup encodes its queries itself; the newest key meanwhile",
  tunables: {
    WORKGROUP: [128, 256, 512, 1024],
    SPLITS: [1, 2, 3, 4, 6, 8],
    ROUNDS: [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 16],
  },
  features: ["subgroups"],
  defaults(p, limits): Params {
    const splits = Math.max(1, Math.min(16, Math.floor(128 / (codeHeads(p) * p.batch)) - 1));
    const workgroup = p.capacity > 16384 || p.map.hidden > 256 ? 512 : 256;
    const SUBGROUP_MIN = limits.subgroupMinSize ?? 4;
    return {
      SUBGROUP_MIN,
      WORKGROUP: workgroup,
      SPLITS: splits,
      ROUNDS: roundsFor(p, workgroup, splits),
    };
  },
  refuses,
  plan: (p, params): Plan => ({
    buffers: {
      ...specs(p, "input", "lengths", "q", "keys", "query_map", "key_map"),
      ...specs(p, "output", "query_codes", "codes", "distances"),
      ...binSumsSpec(
        p,
        { shares: params.SPLITS, blockTokens: sumsBlock(params) },
        "output",
      ),
    },
    dispatches: [
      dispatch(encodeScoreKernel, p, params, [params.SPLITS + 1, codeHeads(p), p.batch]),
    ],
  }),
  cost: scoreCost,
};
