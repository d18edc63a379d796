/** Scores of product-quantised keys: sums of table entries. */
import type { Cost, DeviceLimits, Kernel, Variant } from "../core/variant.ts";
import { type Params, ranges } from "../core/problem/constants.ts";
import { defineKernel, defineVariant } from "../core/define.ts";
import { dispatch } from "../core/dispatch.ts";
import { systemSpecs } from "../core/system_layout.ts";
import { cachedTokens, groupSize } from "../core/problem/derived.ts";
import type { Problem } from "../core/problem/problem.ts";
import {
  centroidBytes,
  CENTROIDS,
  centroidSpec,
  PQ_PARTS,
  PQ_RANGES,
  pqCodeSpec,
  pqNames,
  pqParams,
  refusesParts,
} from "../encode/pq.ts";
import source from "./pq.wgsl" with { type: "text" };

const WORKGROUP: readonly number[] = [64, 128, 256, 512, 1024];
/** Few threads have many entries each, whose shaders take long to compile. */
const TUNED_WORKGROUP = WORKGROUP.filter((threads) => threads >= 128);
const TURNS: readonly number[] = [1, 2, 4];
const TABLE_BITS: readonly number[] = [16, 32];

/** `pq.wgsl`. */
export const pqKernel: Kernel = defineKernel({
  name: "score/pq",
  source,
  params: {
    ...ranges("HEAD_DIM", "GROUP", "KV_HEADS", "CAPACITY", "KV_DTYPE"),
    ...PQ_RANGES,
    PASS_PARTS: PQ_PARTS,
    TABLE_BITS,
    APPEND: [0, 1],
    WORKGROUP,
    TURNS,
  },
});

/** Query heads whose tables lie side by side. */
const HEADS = 4;

/** Workgroup memory for a part: its table of 16-bit entries, and what is known of the newest key. */
const PART_BYTES = CENTROIDS * HEADS * 2 + 8;

/** Consecutive tokens of a thread's turn. */
function turnTokens(parts: number): number {
  return parts === 2 ? 8 : 4;
}

/** Reads codes and centroids once, writes a score for each query head. */
function pqCost(p: Problem, parts: number): Cost {
  const rows = p.kvHeads * cachedTokens(p);
  const queries = p.batch * p.qHeads;
  return {
    streamBytes: rows * parts + p.batch * p.kvHeads * centroidBytes(p) + 4 * queries * p.headDim,
    gatherBytes: 0,
    writeBytes: 4 * rows * groupSize(p),
    flops: 2 * queries * CENTROIDS * p.headDim + rows * groupSize(p) * parts,
  };
}

/**
 * Default parameters: about one workgroup for each multiprocessor of a large GPU, since each makes
 * the tables anew; tables of all parts at once where the device has the memory.
 */
function defaults(p: Problem, parts: number, limits: DeviceLimits): Params {
  const heads = p.batch * p.kvHeads * Math.ceil(groupSize(p) / HEADS);
  const turns = Math.ceil(p.capacity * heads / 128 / turnTokens(parts)); // of a workgroup
  const most = limits.maxComputeInvocationsPerWorkgroup;
  const workgroup = Math.min(512, most);
  const memory = limits.maxComputeWorkgroupStorageSize;
  return {
    TABLE_BITS: 16,
    PASS_PARTS: PQ_PARTS.findLast((n) => n <= parts && n * PART_BYTES <= memory) ?? 2,
    WORKGROUP: workgroup,
    TURNS: TURNS.findLast((n) => n * workgroup <= turns) ?? 1,
  };
}

function refuses(p: Problem, parts: number, params: Params): string | undefined {
  if (p.sharing === "group") return "it scores each query head, and here a group shares its scores";
  const { PASS_PARTS } = params;
  return refusesParts(p, parts) ??
    (PASS_PARTS > parts ? `a pass of ${PASS_PARTS} parts is more than the ${parts}` : undefined);
}

/** Scores of a cache whose newest key has its codes already, or makes them too. */
function scoreOf(parts: number, appends: boolean): Variant {
  const names = pqNames(parts);
  return defineVariant({
    name: `score/pq_${parts}`,
    stage: "score",
    description: `f32 scores: sums of ${parts} table entries; makes tables in each workgroup`,
    tunables: { TABLE_BITS, PASS_PARTS: PQ_PARTS, WORKGROUP: TUNED_WORKGROUP, TURNS },
    features: [],
    defaults: (p, limits) => defaults(p, parts, limits),
    refuses: (p, params) => refuses(p, parts, params),
    plan(p, params) {
      const span = params.WORKGROUP * params.TURNS * turnTokens(parts);
      const values = { ...params, ...pqParams(p, parts), APPEND: Number(appends) };
      return {
        buffers: {
          ...systemSpecs(p, "input", "lengths", "q", ...(appends ? ["keys"] : [])),
          ...centroidSpec(p, parts, "input"),
          ...pqCodeSpec(p, parts, "input"),
          ...systemSpecs(p, "output", "scores"),
        },
        dispatches: [
          dispatch(pqKernel, p, values, [
            Math.ceil(p.capacity / span),
            p.kvHeads * Math.ceil(groupSize(p) / HEADS),
            p.batch,
          ], appends ? names : { ...names, keys: "q" }),
        ],
      };
    },
    cost: (p) => pqCost(p, parts),
  });
}

function byParts(appends: boolean): ReadonlyMap<number, Variant> {
  return new Map(PQ_PARTS.map((parts) => [parts, scoreOf(parts, appends)]));
}

/** Scores of product-quantised keys, by the number of parts. */
export const pqScore: ReadonlyMap<number, Variant> = byParts(false);

/** The same for a step: it also makes the codes of the newest key. */
export const pqAppendScore: ReadonlyMap<number, Variant> = byParts(true);
