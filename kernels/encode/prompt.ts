/** Encodes all keys of a prompt with a learned (or random) map to Hamming space. */
import type { Cost, Kernel, Variant } from "../core/variant.ts";
import { bufferBytes, specs } from "../core/layout.ts";
import { CACHE_ROWS, ranges } from "../core/problem/constants.ts";
import { tokenTiles } from "../core/dispatch.ts";
import { cachedTokens, codeHeads, codeWords, kvBytes, mapLayers } from "../core/problem/derived.ts";
import type { Problem } from "../core/problem/problem.ts";
import { defineKernel, defineVariant } from "../core/define.ts";
import source from "./prompt.wgsl" with { type: "text" };

const TILE: readonly number[] = [8, 16, 32, 64, 128];
const WORKGROUP: readonly number[] = [32, 64, 128, 256];
/** Outputs per token of a thread: OUT_COLUMNS of the kernel. */
const OUT_COLUMNS = 8;

/** `prompt.wgsl`. */
export const encodePromptKernel: Kernel = defineKernel({
  name: "encode/prompt",
  source,
  params: {
    ...ranges(
      "HEAD_DIM",
      "BATCH",
      "GROUP",
      "KV_HEADS",
      "CODE_HEADS",
      "QUERIES_PER_CODE",
      "CAPACITY",
    ),
    ...ranges(...CACHE_ROWS),
    ...ranges("KV_DTYPE", "BITS", "MAP_LAYERS", "MAP_HIDDEN", "MAP_DTYPE"),
    TILE,
    WORKGROUP,
  },
});

/** Bytes of workgroup memory for a token's activations. */
function activationBytes(p: Problem): number {
  return 4 * Math.max(...mapLayers(p).map(([inputs]) => inputs));
}

/** Reads keys and map once, and writes codes. Each weight and token needs two operations. */
function promptCost(p: Problem): Cost {
  const tokens = codeHeads(p) * cachedTokens(p);
  const weights = mapLayers(p).reduce((sum, [inputs, outputs]) => sum + inputs * outputs, 0);
  return {
    streamBytes: p.kvHeads * cachedTokens(p) * p.headDim * kvBytes(p.dtype) +
      bufferBytes(p).key_map,
    gatherBytes: 0,
    writeBytes: 4 * tokens * codeWords(p),
    flops: 2 * tokens * weights,
  };
}

/** Prompt encoder. */
export const encodePrompt: Variant = defineVariant({
  name: "encode/prompt",
  stage: "encode_prompt",
  description: "runs all layers of the map on a tile of tokens in workgroup memory",
  tunables: { TILE, WORKGROUP },
  codes: "map",
  features: [],
  defaults: (p) => {
    const tile = [32, 16].find((tokens) => tokens * activationBytes(p) <= 16384) ?? 8;
    // At least two tokens per thread, so that each loaded weight is used more than once.
    const widest = Math.max(...mapLayers(p).map(([, outputs]) => outputs));
    const threads = Math.min(128, (tile * widest) / (2 * OUT_COLUMNS));
    return { TILE: tile, WORKGROUP: Math.min(threads, (tile * p.bits) / OUT_COLUMNS) };
  },
  refuses(p, { TILE: tile, WORKGROUP: workgroup }) {
    for (const [, outputs] of mapLayers(p)) {
      if (tile * outputs < workgroup * OUT_COLUMNS) {
        return `${tile} tokens by ${outputs} outputs leave some of ${workgroup} threads idle`;
      }
      if (tile * outputs > 16 * workgroup * OUT_COLUMNS) {
        return `${tile} tokens by ${outputs} outputs overflow the registers of ${workgroup} threads`;
      }
    }
  },
  plan: (p, params) => ({
    buffers: {
      ...specs(p, "input", "lengths", "first_tokens", "keys", "key_map"),
      ...specs(p, "output", "codes"),
    },
    dispatches: [
      tokenTiles(encodePromptKernel, p, params, params.TILE, [codeHeads(p), p.batch]),
    ],
  }),
  cost: promptCost,
});
