/**
 * Dense decode like gpt-fast (a compiled `scaled_dot_product_attention` over a static KV cache with
 * a mask), a dense baseline of HashAttention's efficiency experiments. It reads the whole capacity
 * of the cache at any length, writes the scores to memory, and does not pack the GQA group.
 */
import type { Cost, Kernel, Plan, Variant } from "../core/variant.ts";
import { CACHE_ROWS, type Params, ranges } from "../core/problem/constants.ts";
import { defineKernel, defineVariant } from "../core/define.ts";
import { dispatch } from "../core/dispatch.ts";
import { specs } from "../core/layout.ts";
import { groupSize, kvBytes } from "../core/problem/derived.ts";
import type { Problem } from "../core/problem/problem.ts";
import { lanesFor, refusesRowSplit, rowLoads } from "../core/row_split.ts";
import pvSource from "./gpt_fast_pv.wgsl" with { type: "text" };
import qkSource from "./gpt_fast_qk.wgsl" with { type: "text" };
import reduceSource from "./gpt_fast_reduce.wgsl" with { type: "text" };
import softmaxSource from "./gpt_fast_softmax.wgsl" with { type: "text" };
import { splitsFor } from "./split.ts";

const WORKGROUP: readonly number[] = [64, 128, 256];
const LANES: readonly number[] = [2, 4, 8, 16, 32];
const TOKENS: readonly number[] = [1, 2, 4, 8];
const LOADS: readonly number[] = [1, 2, 4, 8];
const ROW_RANGES = {
  ...ranges("HEAD_DIM", "BATCH", "GROUP", "Q_HEADS", "KV_HEADS", "CAPACITY", "KV_DTYPE"),
  ...ranges(...CACHE_ROWS),
  WORKGROUP,
  LANES,
  TOKENS,
};
const SPLITS_RANGE = { min: 1, max: 65535 };

/** `gpt_fast_qk.wgsl`: q f32 [B, Hq, D], K [B, Hkv, capacity, D] to masked scores. */
export const gptFastQkKernel: Kernel = defineKernel({
  name: "dense/gpt_fast_qk",
  source: qkSource,
  params: ROW_RANGES,
});

/** `gpt_fast_softmax.wgsl`: scores to weights, f32 [B, Hq, capacity], in place. */
export const gptFastSoftmaxKernel: Kernel = defineKernel({
  name: "dense/gpt_fast_softmax",
  source: softmaxSource,
  params: {
    ...ranges("Q_HEADS", "CAPACITY"),
    BLOCKS: { min: 1, max: 1 << 21 },
    WORKGROUP,
    LOADS,
  },
});

/** `gpt_fast_pv.wgsl`: weights and V [B, Hkv, capacity, D] to sums f32 [B, Hq, splits, D]. */
export const gptFastPvKernel: Kernel = defineKernel({
  name: "dense/gpt_fast_pv",
  source: pvSource,
  params: { ...ROW_RANGES, SPLITS: SPLITS_RANGE },
});

/** `gpt_fast_reduce.wgsl`: the sums of all splits to `out`, f32 [B, Hq, D]. */
export const gptFastReduceKernel: Kernel = defineKernel({
  name: "dense/gpt_fast_reduce",
  source: reduceSource,
  params: { ...ranges("HEAD_DIM", "Q_HEADS"), SPLITS: SPLITS_RANGE, SLICES: [1, 2, 4, 8] },
});

/** Bytes of all scores, f32 [B, Hq, capacity]. */
function scoreBytes(p: Problem): number {
  return 4 * p.batch * p.qHeads * p.capacity;
}

/** Blocks into which the scores of a query head are divided. */
function blocksOf(p: Problem, { WORKGROUP, LANES, TOKENS }: Params): number {
  return Math.ceil(p.capacity / (WORKGROUP / LANES * TOKENS));
}

/** Reads K and V of the whole capacity and q, writes o, and writes and reads each score twice. */
function cost(p: Problem): Cost {
  const rows = p.batch * p.kvHeads * p.capacity;
  const qBytes = p.batch * p.qHeads * p.headDim * 4;
  return {
    streamBytes: 2 * rows * p.headDim * kvBytes(p.dtype) + qBytes + 2 * scoreBytes(p),
    gatherBytes: 0,
    writeBytes: qBytes + 2 * scoreBytes(p),
    flops: 4 * rows * groupSize(p) * p.headDim,
  };
}

function plan(p: Problem, params: Params): Plan {
  const { WORKGROUP: workgroup, LOADS: loads, SPLITS: splits } = params;
  const BLOCKS = blocksOf(p, params);
  const slices = Math.ceil(p.capacity / (4 * loads * workgroup));
  const rows = p.batch * p.qHeads;
  const SLICES = [8, 4, 2].find((s) => s <= splits && (p.headDim / 4) * s <= 256) ?? 1;
  return {
    buffers: {
      ...specs(p, "input", "lengths", "q", "keys", "values", "sink_logits"),
      scores: { bytes: scoreBytes(p), role: "scratch" },
      block_stats: { bytes: 8 * rows * BLOCKS, role: "scratch" },
      split_sums: { bytes: 4 * rows * splits * p.headDim, role: "scratch" },
      ...specs(p, "output", "out"),
    },
    dispatches: [
      dispatch(gptFastQkKernel, p, params, [p.qHeads, BLOCKS, p.batch]),
      dispatch(gptFastSoftmaxKernel, p, { ...params, BLOCKS }, [p.qHeads, slices, p.batch]),
      dispatch(gptFastPvKernel, p, params, [p.qHeads, splits, p.batch]),
      dispatch(gptFastReduceKernel, p, { ...params, SLICES }, [p.qHeads, p.batch, 1]),
    ],
  };
}

/** gpt-fast's dense decode, portable. */
export const denseGptFast: Variant = defineVariant({
  name: "dense/gpt_fast",
  stage: "dense",
  description:
    "gpt-fast: reads the cache's whole capacity, stores masked scores, then softmax and P*V",
  tunables: { WORKGROUP, LANES: [4, 8, 16, 32], TOKENS, SPLITS: [8, 16, 33, 66], LOADS },
  features: [],
  defaults(p, limits) {
    const lanes = lanesFor(p, 16);
    const params = {
      LANES: lanes,
      // Eight loads of 16 bytes in flight per thread.
      TOKENS: [8, 4, 2].find((tokens) => tokens * rowLoads(p) / lanes <= 8) ?? 1,
      // About eight workgroups for each multiprocessor of a large GPU.
      SPLITS: splitsFor(p, p.qHeads, p.capacity, 1056),
      LOADS: p.capacity > 16384 ? 4 : 1,
    };
    const fits = (threads: number) =>
      !denseGptFast.refuses(p, { WORKGROUP: threads, ...params }, limits);
    return { WORKGROUP: [128, 64].find(fits) ?? 64, ...params };
  },
  refuses: refusesRowSplit,
  plan,
  cost,
});
