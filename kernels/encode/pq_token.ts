/** Product-quantised codes of the newest keys of a decode step. */
import type { Cost, Kernel, Variant } from "../core/variant.ts";
import { dispatch } from "../core/dispatch.ts";
import { ranges } from "../core/problem/constants.ts";
import { specs } from "../core/layout.ts";
import { kvBytes } from "../core/problem/derived.ts";
import type { Problem } from "../core/problem/problem.ts";
import { defineKernel, defineVariant } from "../core/define.ts";
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
} from "./pq.ts";
import source from "./pq_append.wgsl" with { type: "text" };

const WORKGROUP: readonly number[] = [64, 128, 256, 512];

/** `pq_append.wgsl`. */
export const pqAppendKernel: Kernel = defineKernel({
  name: "encode/pq_append",
  source,
  params: { ...ranges("HEAD_DIM", "KV_HEADS", "CAPACITY", "KV_DTYPE"), ...PQ_RANGES, WORKGROUP },
});

/** Reads the centroids of each KV head and its newest key. */
function appendCost(p: Problem, parts: number): Cost {
  const heads = p.batch * p.kvHeads;
  return {
    streamBytes: heads * (centroidBytes(p) + p.headDim * kvBytes(p.dtype)),
    gatherBytes: 0,
    writeBytes: heads * parts,
    flops: heads * 4 * CENTROIDS * p.headDim,
  };
}

function appendOf(parts: number): Variant {
  return defineVariant({
    name: `encode/pq_append_${parts}`,
    stage: "encode_append",
    description: `the nearest centroid of each of ${parts} parts of the newest key`,
    tunables: { WORKGROUP },
    features: [],
    defaults: (_, limits) => ({
      WORKGROUP: Math.min(256, limits.maxComputeInvocationsPerWorkgroup),
    }),
    refuses: (p) => refusesParts(p, parts),
    plan: (p, params) => ({
      buffers: {
        ...specs(p, "input", "lengths", "keys"),
        ...centroidSpec(p, parts, "input"),
        // The codes of older tokens are kept between steps.
        ...pqCodeSpec(p, parts, "input"),
      },
      dispatches: [
        dispatch(
          pqAppendKernel,
          p,
          { ...params, ...pqParams(p, parts) },
          [Math.ceil(parts / 4), p.kvHeads, p.batch],
          pqNames(parts),
        ),
      ],
    }),
    cost: (p) => appendCost(p, parts),
  });
}

/** Encoders of newest keys, by the number of parts. */
export const pqAppend: ReadonlyMap<number, Variant> = new Map(
  PQ_PARTS.map((parts) => [parts, appendOf(parts)]),
);
