/** Rotates and encodes all keys of a prompt. Nothing is trained. */
import type { Cost, Kernel, Plan, Variant } from "../core/variant.ts";
import { CACHE_ROWS, ranges } from "../core/problem/constants.ts";
import { dispatch, tokenTiles } from "../core/dispatch.ts";
import { specs } from "../core/layout.ts";
import { centresKeys, codeWords, distinctTokens, kvBytes } from "../core/problem/derived.ts";
import type { Problem } from "../core/problem/problem.ts";
import { defineKernel, defineVariant } from "../core/define.ts";
import { rotationWidth } from "./rotation.ts";
import source from "./rotate_prompt.wgsl" with { type: "text" };
import keyMeansSource from "./key_means.wgsl" with { type: "text" };
import keySumsSource from "./key_sums.wgsl" with { type: "text" };
import sumsSource from "./factor_sums.wgsl" with { type: "text" };

const TILE: readonly number[] = [4, 8, 16, 32];
const TILES: readonly number[] = [1, 2, 4, 8, 16];
const WORKGROUP: readonly number[] = [32, 64, 128, 256];
const SUM_WORKGROUP: readonly number[] = [64, 128, 256, 512, 1024];

/** `rotate_prompt.wgsl`. */
export const rotatePromptKernel: Kernel = defineKernel({
  name: "encode/rotate_prompt",
  source,
  params: {
    ...ranges("HEAD_DIM", "BATCH", "KV_HEADS", "CAPACITY", "PREFIX", "KV_DTYPE", "BITS"),
    ...ranges("SEED", "CENTRE"),
    ...ranges(...CACHE_ROWS),
    TILE,
    TILES,
    WORKGROUP,
  },
});

/** `factor_sums.wgsl`. */
export const factorSumsKernel: Kernel = defineKernel({
  name: "encode/factor_sums",
  source: sumsSource,
  params: {
    ...ranges("HEAD_DIM", "KV_HEADS", "CAPACITY", "PREFIX", "CENTRE"),
    WORKGROUP: SUM_WORKGROUP,
  },
});

/** `key_sums.wgsl`. */
export const keySumsKernel: Kernel = defineKernel({
  name: "encode/key_sums",
  source: keySumsSource,
  params: {
    ...ranges("HEAD_DIM", "BATCH", "KV_HEADS", "CAPACITY", "KV_DTYPE"),
    ...ranges(...CACHE_ROWS),
    CHUNK: { min: 16, max: 65536 },
    WORKGROUP: [64, 128, 256],
  },
});

/** `key_means.wgsl`. */
export const keyMeansKernel: Kernel = defineKernel({
  name: "encode/key_means",
  source: keyMeansSource,
  params: {
    ...ranges("HEAD_DIM", "KV_HEADS", "CAPACITY", "CENTRE"),
    CHUNK: { min: 16, max: 65536 },
    WORKGROUP: [64, 128, 256],
  },
});

/** Tokens whose keys a workgroup adds up. */
const CHUNK = 512;

/** The mean key of each KV head; nothing where keys are not centred. */
function meansPlan(p: Problem): Plan {
  if (!centresKeys(p)) return { buffers: {}, dispatches: [] };
  const chunks = Math.ceil(p.capacity / CHUNK);
  const bytes = 4 * p.batch * p.kvHeads * chunks * p.headDim;
  return {
    buffers: { chunk_sums: { bytes, role: "scratch" } },
    dispatches: [
      dispatch(keySumsKernel, p, { CHUNK, WORKGROUP: 256 }, [chunks, p.kvHeads, p.batch]),
      dispatch(keyMeansKernel, p, { CHUNK, WORKGROUP: 128 }, [p.kvHeads, p.batch, 1]),
    ],
  };
}

/** Reads keys, and writes codes and factors. */
function promptCost(p: Problem): Cost {
  const tokens = p.kvHeads * distinctTokens(p);
  const width = rotationWidth(p.headDim, p.bits);
  return {
    // The mean key takes a pass of its own.
    streamBytes: (centresKeys(p) ? 2 : 1) * tokens * p.headDim * kvBytes(p.dtype),
    gatherBytes: 0,
    writeBytes: tokens * (4 * codeWords(p) + 1),
    flops: tokens * width * Math.log2(width),
  };
}

/** Prompt encoder of rotated codes. */
export const rotatePrompt: Variant = defineVariant({
  name: "encode/rotate_prompt",
  stage: "encode_prompt",
  description: "rotates keys in registers and workgroup memory, makes codes and factors",
  tunables: { TILE, TILES, WORKGROUP, SUM_WORKGROUP },
  codes: "rotated",
  features: [],
  sharedPrefix: "also",
  defaults: (p, limits) => ({
    // Rows of 256 elements need twice the workgroup memory.
    TILE: rotationWidth(p.headDim, p.bits) > 128 ? 8 : 16,
    TILES: 4,
    WORKGROUP: 128,
    SUM_WORKGROUP: SUM_WORKGROUP
      .findLast((threads) => threads <= limits.maxComputeInvocationsPerWorkgroup) ?? 64,
  }),
  refuses: () => undefined,
  plan: (p, params) => ({
    buffers: {
      ...specs(p, "input", "lengths", "first_tokens", "keys"),
      ...meansPlan(p).buffers,
      ...specs(p, "output", "codes", "factors", "key_stats"),
    },
    dispatches: [
      ...meansPlan(p).dispatches,
      tokenTiles(rotatePromptKernel, p, params, params.TILE * params.TILES, [p.kvHeads, p.batch]),
      dispatch(factorSumsKernel, p, { WORKGROUP: params.SUM_WORKGROUP }, [p.kvHeads, p.batch, 1]),
    ],
  }),
  cost: promptCost,
});
