/** Rotates and encodes all keys of a prompt. Nothing is trained. */
import type { Cost, Kernel, Variant } from "../core/variant.ts";
import { dispatch, ranges, specs } from "../core/layout.ts";
import { cachedTokens, codeWords, kvBytes, type Problem } from "../core/problem.ts";
import { defineKernel, defineVariant } from "../core/define.ts";
import { rotationWidth } from "./rotation.ts";
import source from "./rotate_prompt.wgsl" with { type: "text" };
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
    ...ranges("HEAD_DIM", "KV_HEADS", "CAPACITY", "KV_DTYPE", "BITS", "SEED"),
    TILE,
    TILES,
    WORKGROUP,
  },
});

/** `factor_sums.wgsl`. */
export const factorSumsKernel: Kernel = defineKernel({
  name: "encode/factor_sums",
  source: sumsSource,
  params: { ...ranges("KV_HEADS", "CAPACITY"), WORKGROUP: SUM_WORKGROUP },
});

/** Reads keys once, and writes codes and factors. */
function promptCost(p: Problem): Cost {
  const tokens = p.kvHeads * cachedTokens(p);
  const width = rotationWidth(p.headDim, p.bits);
  return {
    streamBytes: tokens * p.headDim * kvBytes(p.dtype),
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
  defaults: (p, limits) => ({
    // Rows of 256 elements need twice the workgroup memory.
    TILE: rotationWidth(p.headDim, p.bits) > 128 ? 8 : 16,
    TILES: 4,
    WORKGROUP: 128,
    SUM_WORKGROUP: Math.min(1024, limits.maxComputeInvocationsPerWorkgroup),
  }),
  refuses: () => undefined,
  plan: (p, params) => ({
    buffers: {
      ...specs(p, "input", "lengths", "keys"),
      ...specs(p, "output", "codes", "factors", "factor_sums"),
    },
    dispatches: [
      dispatch(rotatePromptKernel, p, params, [
        Math.ceil(p.capacity / (params.TILE * params.TILES)),
        p.kvHeads,
        p.batch,
      ]),
      dispatch(factorSumsKernel, p, { WORKGROUP: params.SUM_WORKGROUP }, [p.kvHeads, p.batch, 1]),
    ],
  }),
  cost: promptCost,
});
