/** Select, gather-attend and merge in one dispatch, for devices with subgroups. */
import type { Contender, Cost, DeviceLimits, Kernel, Params, Plan } from "../contender.ts";
import { splitsFor } from "../dense/split.ts";
import { dispatch, histogramSpec, ranges, specs } from "../layout.ts";
import {
  cachedTokens,
  codeHeads,
  distanceBytes,
  listCapacity,
  maxDistance,
  type Problem,
  queriesPerList,
} from "../problem.ts";
import { lanesFor, refusesRowSplit, ROW_SPLIT_RANGES, ROW_SPLIT_TUNABLES } from "../row_split.ts";
import { BLOCK_TOKENS, blockCount, blockFor } from "../score/hamming.ts";
import { gatherCost } from "./gather.ts";
import { refusesWorkgroup } from "../refusals.ts";
import source from "./select_gather.wgsl" with { type: "text" };

/** `select_gather.wgsl`. */
export const selectGatherKernel: Kernel = {
  name: "attend/select_gather",
  source,
  bindings: [
    { name: "lengths", access: "read" },
    { name: "q", access: "read" },
    { name: "keys", access: "read" },
    { name: "values", access: "read" },
    { name: "sink_logits", access: "read" },
    { name: "distances", access: "read" },
    { name: "block_histograms", access: "read" },
    { name: "query_codes", access: "read" },
    { name: "codes", access: "read" },
    { name: "partials", access: "read_write" },
    { name: "arrivals", access: "read_write" },
    { name: "out", access: "read_write" },
  ],
  params: {
    ...ranges("HEAD_DIM", "GROUP", "QUERIES_PER_LIST", "CODE_HEADS", "CAPACITY", "LIST_CAPACITY"),
    ...ranges("KV_DTYPE", "BITS", "DISTANCE_BYTES", "SINK", "RECENT", "K_COUNT", "SPARSITY"),
    BLOCK: BLOCK_TOKENS,
    NEWEST: [0, 1],
    SUBGROUP_MIN: [4, 8, 16, 32, 64, 128],
    ...ROW_SPLIT_RANGES,
    SPLITS: { min: 1, max: 1024 },
  },
  features: ["subgroups"],
};

/** Histogram entries that a thread may hold in registers. */
const MOST_ENTRIES = 40;

function refuses(p: Problem, params: Params, limits: DeviceLimits): string | undefined {
  const { WORKGROUP: workgroup, LANES: lanes, BLOCK: block, SPLITS: splits } = params;
  const bins = maxDistance(p) + 1;
  const blocks = blockCount(p.capacity, block);
  if (workgroup < p.headDim / 4) {
    return `${workgroup} threads are too few for a row of ${p.headDim}`;
  }
  if (blocks > workgroup) return `${workgroup} threads are too few for ${blocks} blocks`;
  if (Math.ceil(blocks * bins / workgroup) > MOST_ENTRIES) {
    return `${blocks * bins} histogram entries are too many for ${workgroup} threads`;
  }
  const rows = Math.max(workgroup / lanes, Math.floor(workgroup * 4 / p.headDim));
  const bytes = 4 * bins + 16 * blocks + 8 * workgroup / params.SUBGROUP_MIN + 64 +
    4 * Math.ceil(listCapacity(p) / splits) + rows * (p.headDim * 4 + 8 * queriesPerList(p));
  const why = refusesWorkgroup(workgroup, bytes, limits);
  if (why) return why;
  if (selectGatherKernel.bindings.length > limits.maxStorageBuffersPerShaderStage) {
    return `it binds ${selectGatherKernel.bindings.length} buffers, this device allows ${limits.maxStorageBuffersPerShaderStage}`;
  }
  return refusesRowSplit(p, params, limits, { queries: queriesPerList(p), subgroups: true });
}

function plan(p: Problem, params: Params): Plan {
  const lists = p.batch * codeHeads(p);
  const partials = p.batch * p.qHeads * params.SPLITS;
  const newest = params.NEWEST === 1;
  // Codes are only read for the newest token; a stand-in is bound where nobody asks.
  const standIns = newest ? undefined : { query_codes: "lengths", codes: "lengths" };
  return {
    buffers: {
      ...specs(p, "input", "lengths", "q", "keys", "values", "sink_logits", "distances"),
      ...(newest ? specs(p, "input", "query_codes", "codes") : {}),
      ...histogramSpec(p, params.BLOCK, "input"),
      partials: { bytes: partials * (p.headDim + 4) * 4, role: "scratch" },
      arrivals: { bytes: lists * 4, role: "counter" },
      ...specs(p, "output", "out"),
    },
    dispatches: [
      dispatch(
        selectGatherKernel,
        p,
        params,
        [params.SPLITS, codeHeads(p), p.batch],
        standIns,
      ),
    ],
  };
}

function cost(p: Problem): Cost {
  const gathered = gatherCost(p);
  const distances = codeHeads(p) * cachedTokens(p) * distanceBytes(p);
  return { ...gathered, streamBytes: gathered.streamBytes + distances };
}

/** From distances and histograms to the output. */
export const selectGather: Contender = {
  name: "attend/select_gather",
  stage: "attend",
  description: "counting select, gather-attend and merge in one dispatch; the list stays on chip",
  tunables: { ...ROW_SPLIT_TUNABLES, SPLITS: [4, 8, 16, 32], BLOCK: BLOCK_TOKENS },
  features: ["subgroups"],
  lastArriverMerges: true,
  defaults: (p, limits) => ({
    BLOCK: blockFor(p),
    NEWEST: 0,
    SUBGROUP_MIN: limits.subgroupMinSize ?? 4,
    // A window of 32 tokens per thread should hold a share's tokens.
    WORKGROUP: p.capacity > 65536 ? 256 : 128,
    LANES: lanesFor(p, Math.min(16, limits.subgroupMinSize ?? 4)),
    TOKENS: queriesPerList(p) > 1 ? 2 : 4,
    SPLITS: splitsFor(p, codeHeads(p), listCapacity(p), 512),
  }),
  refuses,
  plan,
  cost,
};
