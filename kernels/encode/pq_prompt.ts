/** Product-quantised codes of a prompt's keys, with centroids that are given or found by k-means. */
import type {
  BufferRole,
  BufferSpec,
  Cost,
  DeviceLimits,
  Dispatch,
  Kernel,
  Plan,
  Variant,
} from "../core/variant.ts";
import { type Params, ranges } from "../core/problem/constants.ts";
import { dispatch } from "../core/dispatch.ts";
import { specs } from "../core/layout.ts";
import { cachedTokens, kvBytes } from "../core/problem/derived.ts";
import type { Problem } from "../core/problem/problem.ts";
import { defineKernel, defineVariant } from "../core/define.ts";
import {
  centroidBytes,
  centroidDtype,
  CENTROIDS,
  centroidSpec,
  PQ_PARTS,
  PQ_RANGES,
  pqCodeSpec,
  pqNames,
  pqParams,
  refusesParts,
} from "./pq.ts";
import centroidsSource from "./pq_centroids.wgsl" with { type: "text" };
import meansSource from "./pq_means.wgsl" with { type: "text" };
import promptSource from "./pq_prompt.wgsl" with { type: "text" };
import startSource from "./pq_start.wgsl" with { type: "text" };
import sumsSource from "./pq_sums.wgsl" with { type: "text" };

const TILE: readonly number[] = [16, 32, 64, 128, 256];
const TOKENS: readonly number[] = [2, 4];
const WORKGROUP: readonly number[] = [32, 64, 128, 256];
const CHUNK: readonly number[] = [64, 512, 1024, 2048, 4096, 8192, 16384, 32768, 65536];
const CACHE = ranges("HEAD_DIM", "KV_HEADS", "CAPACITY", "KV_DTYPE");

/** Iterations of k-means: the default of the authors' code. */
const ITERATIONS = 10;

/** `pq_prompt.wgsl`. */
export const pqPromptKernel: Kernel = defineKernel({
  name: "encode/pq_prompt",
  source: promptSource,
  params: { ...CACHE, ...PQ_RANGES, TILE, TOKENS, WORKGROUP },
});

/** `pq_start.wgsl`. */
export const pqStartKernel: Kernel = defineKernel({
  name: "encode/pq_start",
  source: startSource,
  params: { ...CACHE, ...ranges("SEED") },
});

/** `pq_sums.wgsl`. */
export const pqSumsKernel: Kernel = defineKernel({
  name: "encode/pq_sums",
  source: sumsSource,
  params: { ...CACHE, PARTS: PQ_PARTS, CHUNK, COLUMNS: [4, 8, 16] },
});

/** `pq_means.wgsl`. */
export const pqMeansKernel: Kernel = defineKernel({
  name: "encode/pq_means",
  source: meansSource,
  params: { ...ranges("HEAD_DIM", "KV_HEADS", "CAPACITY"), PARTS: PQ_PARTS, CHUNK },
});

/** `pq_centroids.wgsl`. */
export const pqCentroidsKernel: Kernel = defineKernel({
  name: "encode/pq_centroids",
  source: centroidsSource,
  params: { ...ranges("HEAD_DIM", "KV_HEADS"), CENTROID_DTYPE: PQ_RANGES.CENTROID_DTYPE },
});

/** Finds the nearest centroids of all keys. */
function nearestDispatch(
  p: Problem,
  parts: number,
  params: Params,
  dtype: number,
  rename: Readonly<Record<string, string>>,
): Dispatch {
  return dispatch(pqPromptKernel, p, { ...params, PARTS: parts, CENTROID_DTYPE: dtype }, [
    Math.ceil(p.capacity / (params.WORKGROUP * params.TOKENS)),
    p.kvHeads * Math.ceil(parts / 4),
    p.batch,
  ], rename);
}

/** The first centroids. */
export const FIRST_MEANS = "pq_first_means";

/** The buffers of means after an odd and an even number of iterations. */
const MEANS = ["pq_odd_means", "pq_even_means"] as const;

/** The buffers of means before and after iteration `i`. */
function meansOf(i: number): { readonly before: string; readonly after: string } {
  return { before: i === 0 ? FIRST_MEANS : MEANS[(i - 1) % 2], after: MEANS[i % 2] };
}

/** The codes by which the last iteration of k-means took its means. */
export const ASSIGNED = "pq_assigned";

/** The buffers of means before and after the last iteration. */
export function lastMeans(params: Params): { readonly before: string; readonly after: string } {
  return meansOf(params.ITERATIONS - 1);
}

/** k-means, and the centroids in their type. */
function trainPlan(p: Problem, parts: number, params: Params): Plan {
  const { CHUNK: chunk } = params;
  const heads = p.batch * p.kvHeads;
  const chunks = heads * Math.ceil(p.capacity / chunk);
  const scratch = (bytes: number): BufferSpec => ({ bytes, role: "scratch" });
  const elements = CENTROIDS * p.headDim;
  const quads = [p.headDim / 4, p.kvHeads, p.batch] as const;
  const iteration = (i: number) => {
    const { before, after } = meansOf(i);
    const values = { ...params, PARTS: parts };
    return [
      nearestDispatch(p, parts, params, 0, { centroids: before, pq_codes: ASSIGNED }),
      dispatch(pqSumsKernel, p, values, [
        Math.ceil(p.capacity / chunk),
        p.kvHeads * p.headDim / params.COLUMNS,
        p.batch,
      ], { pq_codes: ASSIGNED }),
      dispatch(pqMeansKernel, p, values, quads, { old_means: before, means: after }),
    ];
  };
  const last = { means: lastMeans(params).after, centroids: pqNames(parts).centroids };
  return {
    buffers: {
      ...specs(p, "input", "lengths", "keys"),
      ...Object.fromEntries(
        [FIRST_MEANS, ...MEANS.slice(0, params.ITERATIONS)]
          .map((name) => [name, scratch(4 * heads * elements)]),
      ),
      [ASSIGNED]: scratch(heads * p.capacity * parts),
      chunk_sums: scratch(4 * chunks * elements),
      chunk_counts: scratch(4 * chunks * CENTROIDS * parts),
      ...centroidSpec(p, parts, "output"),
    },
    dispatches: [
      dispatch(pqStartKernel, p, { SEED: params.SEED }, quads, { means: FIRST_MEANS }),
      ...Array.from({ length: params.ITERATIONS }, (_, i) => iteration(i)).flat(),
      dispatch(pqCentroidsKernel, p, pqParams(p, parts), quads, last),
    ],
  };
}

/** Codes of all keys by the centroids in their buffer. */
function encodePlan(p: Problem, parts: number, params: Params, role: BufferRole): Plan {
  return {
    buffers: {
      ...specs(p, "input", "lengths", "keys"),
      ...centroidSpec(p, parts, role),
      ...pqCodeSpec(p, parts, "output"),
    },
    dispatches: [nearestDispatch(p, parts, params, centroidDtype(p), pqNames(parts))],
  };
}

/** Reads keys and centroids, and writes codes. */
function encodeCost(p: Problem, parts: number): Cost {
  const rows = p.kvHeads * cachedTokens(p);
  return {
    streamBytes: rows * p.headDim * kvBytes(p.dtype) + p.batch * p.kvHeads * centroidBytes(p),
    gatherBytes: 0,
    writeBytes: rows * parts,
    flops: 2 * rows * CENTROIDS * p.headDim,
  };
}

/** An iteration reads the keys twice: their codes must be known before any mean is. */
function trainCost(p: Problem, parts: number, iterations: number): Cost {
  const encode = encodeCost(p, parts);
  const keys = p.kvHeads * cachedTokens(p) * p.headDim * kvBytes(p.dtype);
  const centroids = p.batch * p.kvHeads * centroidBytes(p);
  return {
    streamBytes: (1 + 2 * iterations) * keys,
    gatherBytes: 0,
    writeBytes: encode.writeBytes + centroids,
    flops: (1 + iterations) * encode.flops,
  };
}

/** Most elements of centroids in workgroup memory: 8 KiB. */
const TILE_ELEMENTS = 2048;

function encodeDefaults(p: Problem, parts: number): Params {
  const width = p.headDim / parts;
  return {
    TILE: TILE.findLast((tile) => tile * width <= TILE_ELEMENTS) ?? 16,
    TOKENS: 2,
    WORKGROUP: 128,
  };
}

/** Chunks of a sequence share out the sums, as long as they take little memory. */
function trainDefaults(p: Problem, parts: number, limits: DeviceLimits): Params {
  const chunks = Math.max(4, Math.floor(32 / p.batch));
  const width = p.headDim / parts;
  const columns = limits.maxComputeWorkgroupStorageSize >= 20480 ? [16, 8, 4] : [8, 4];
  return {
    ...encodeDefaults(p, parts),
    ITERATIONS,
    SEED: 1,
    CHUNK: CHUNK.find((chunk) => chunk >= 512 && chunk * chunks >= p.capacity) ?? 65536,
    COLUMNS: columns.find((count) => width % count === 0) ?? 4,
  };
}

function refusesTrain(p: Problem, parts: number, params: Params): string | undefined {
  const why = refusesParts(p, parts);
  if (why) return why;
  const { ITERATIONS: iterations, COLUMNS } = params;
  if (!Number.isInteger(iterations) || iterations < 1 || iterations > 100) {
    return `ITERATIONS must be from 1 to 100, got ${iterations}`;
  }
  if (p.headDim / parts % COLUMNS !== 0) {
    return `${COLUMNS} columns do not divide parts of ${p.headDim / parts} elements`;
  }
}

const ENCODE_TUNABLES = { TILE, TOKENS, WORKGROUP };

function encodeOf(parts: number): Variant {
  return defineVariant({
    name: `encode/pq_prompt_${parts}`,
    stage: "encode_prompt",
    description: `the nearest of given centroids for each of ${parts} parts of every key`,
    tunables: ENCODE_TUNABLES,
    features: [],
    defaults: (p) => encodeDefaults(p, parts),
    refuses: (p) => refusesParts(p, parts),
    plan: (p, params) => encodePlan(p, parts, params, "input"),
    cost: (p) => encodeCost(p, parts),
  });
}

function trainOf(parts: number): Variant {
  return defineVariant({
    name: `encode/pq_train_${parts}`,
    stage: "encode_prompt",
    description: `k-means of each of ${parts} parts of a prompt's keys, then their codes`,
    tunables: { ...ENCODE_TUNABLES, CHUNK: [512, 1024, 2048, 4096, 8192], COLUMNS: [4, 8, 16] },
    features: [],
    defaults: (p, limits) => trainDefaults(p, parts, limits),
    refuses: (p, params) => refusesTrain(p, parts, params),
    plan(p, params) {
      const train = trainPlan(p, parts, params);
      const encode = encodePlan(p, parts, params, "output");
      return {
        buffers: { ...train.buffers, ...encode.buffers },
        dispatches: [...train.dispatches, ...encode.dispatches],
      };
    },
    cost: (p, params) => trainCost(p, parts, params.ITERATIONS),
  });
}

function byParts(make: (parts: number) => Variant): ReadonlyMap<number, Variant> {
  return new Map(PQ_PARTS.map((parts) => [parts, make(parts)]));
}

/** Encoders of a prompt's keys by centroids that are given, by the number of parts. */
export const pqPrompt: ReadonlyMap<number, Variant> = byParts(encodeOf);

/** The same with centroids of the prompt itself. */
export const pqTrain: ReadonlyMap<number, Variant> = byParts(trainOf);
