/** Naive dense decode: scores materialised, softmax, PV; what a first implementation does. */
import { addCost, type Contender, type Cost, type Kernel } from "../contender.ts";
import { dispatch, ranges, specs } from "../layout.ts";
import type { Problem } from "../problem.ts";
import { lanesFor, rowLoads } from "../row_split.ts";
import { refusesWorkgroup } from "../refusals.ts";
import qkSource from "./naive_qk.wgsl" with { type: "text" };
import pvSource from "./naive_pv.wgsl" with { type: "text" };
import softmaxSource from "./naive_softmax.wgsl" with { type: "text" };
import { denseCost } from "./split.ts";

const WORKGROUPS: readonly number[] = [64, 128, 256];
const LANES: readonly number[] = [2, 4, 8, 16];
const TOKENS: readonly number[] = [1, 2, 4];
const ROW_RANGES = {
  ...ranges("HEAD_DIM", "GROUP", "Q_HEADS", "KV_HEADS", "CAPACITY", "KV_DTYPE"),
  WORKGROUP: WORKGROUPS,
  LANES,
  TOKENS,
};

/** `naive_qk.wgsl`. */
export const naiveQkKernel: Kernel = {
  name: "dense/naive_qk",
  source: qkSource,
  bindings: [
    { name: "lengths", access: "read" },
    { name: "q", access: "read" },
    { name: "keys", access: "read" },
    { name: "scores", access: "read_write" },
  ],
  params: ROW_RANGES,
};

/** `naive_softmax.wgsl`. */
export const naiveSoftmaxKernel: Kernel = {
  name: "dense/naive_softmax",
  source: softmaxSource,
  bindings: [
    { name: "lengths", access: "read" },
    { name: "sink_logits", access: "read" },
    { name: "scores", access: "read_write" },
  ],
  params: { ...ranges("Q_HEADS", "CAPACITY"), WORKGROUP: WORKGROUPS },
};

/** `naive_pv.wgsl`. */
export const naivePvKernel: Kernel = {
  name: "dense/naive_pv",
  source: pvSource,
  bindings: [
    { name: "lengths", access: "read" },
    { name: "scores", access: "read" },
    { name: "values", access: "read" },
    { name: "out", access: "read_write" },
  ],
  params: ROW_RANGES,
};

/** Bytes of all scores, f32 [B, Hq, tokens]. */
function scoreBytes(p: Problem, tokens: number): number {
  return 4 * p.batch * p.qHeads * tokens;
}

/** Dense decode's least traffic, and each score written twice and read twice. */
function naiveCost(p: Problem): Cost {
  const bytes = 2 * scoreBytes(p, p.kvLen);
  return addCost(denseCost(p), {
    streamBytes: bytes,
    gatherBytes: 0,
    writeBytes: bytes,
    flops: 0,
  });
}

/** Naive dense decode. */
export const denseNaive: Contender = {
  name: "dense/naive",
  stage: "dense",
  description: "scores of every query head written out, softmax over them, weighted sum of V",
  tunables: { WORKGROUP: WORKGROUPS, LANES, TOKENS },
  features: [],
  defaults: (p) => ({ WORKGROUP: 256, LANES: lanesFor(p, 4), TOKENS: 4 }),
  refuses(p, { WORKGROUP: workgroup, LANES: lanes, TOKENS: tokens }, limits) {
    if (rowLoads(p) % lanes !== 0) {
      return `${lanes} lanes cannot share ${rowLoads(p)} loads of a row`;
    }
    const bytes = workgroup * Math.max(4 * tokens, p.dtype === "f32" ? 16 : 32);
    return refusesWorkgroup(workgroup, bytes, limits);
  },
  plan(p, params) {
    const tile = (params.WORKGROUP / params.LANES) * params.TOKENS;
    const slices = rowLoads(p) / params.LANES;
    return {
      buffers: {
        ...specs(p, "input", "lengths", "q", "keys", "values", "sink_logits"),
        scores: { bytes: scoreBytes(p, p.capacity), role: "scratch" },
        ...specs(p, "output", "out"),
      },
      dispatches: [
        dispatch(naiveQkKernel, p, params, [Math.ceil(p.capacity / tile), p.qHeads, p.batch]),
        dispatch(naiveSoftmaxKernel, p, params, [p.qHeads, p.batch, 1]),
        dispatch(naivePvKernel, p, params, [slices, p.qHeads, p.batch]),
      ],
    };
  },
  cost: naiveCost,
};
