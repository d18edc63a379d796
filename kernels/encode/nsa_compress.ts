/** Appends the compressed row of NSA's newest tokens, which every 16th token completes. */
import type { Cost, Kernel, Variant } from "../core/variant.ts";
import { defineKernel, defineVariant } from "../core/define.ts";
import { systemBufferBytes, systemSpecs } from "../core/system_layout.ts";
import { dispatch } from "../core/dispatch.ts";
import { ranges } from "../core/problem/constants.ts";
import { kvBytes, lengthOf } from "../core/problem/derived.ts";
import type { Problem } from "../core/problem/problem.ts";
import { NSA } from "../pipeline/nsa_reference.ts";
import source from "./nsa_compress.wgsl" with { type: "text" };

/** `nsa_compress.wgsl`. */
export const nsaCompressKernel: Kernel = defineKernel({
  name: "encode/nsa_compress",
  source,
  params: {
    ...ranges("HEAD_DIM", "KV_HEADS", "CAPACITY", "KV_DTYPE"),
    WORKGROUP: [64, 128, 256, 512],
    OUTPUTS: [2, 4, 8, 16],
  },
});

/** Least traffic of a step that completes a row: the maps once, and the last tokens. */
function cost(p: Problem): Cost {
  const { compress_map, compress_positions, raw_keys, raw_values } = systemBufferBytes(p);
  const row = 2 * p.batch * p.kvHeads * p.headDim;
  return {
    streamBytes: compress_map + compress_positions + raw_keys + raw_values,
    gatherBytes: 0,
    writeBytes: row * kvBytes(p.dtype),
    flops: row * (NSA.span * p.headDim) * 3,
  };
}

/** Whether some sequence completes a row: other steps have nothing to do. */
function completesRow(p: Problem): boolean {
  return Array.from({ length: p.batch }, (_, sequence) => lengthOf(p, sequence))
    .some((length) => length >= NSA.span && length % NSA.stride === 0);
}

/** The compressed row of a step that completes one. */
export const nsaCompress: Variant = defineVariant({
  name: "encode/nsa_compress",
  stage: "encode_append",
  description: "NSA's compressed row of the last 32 tokens, at every 16th token: a linear map",
  tunables: { WORKGROUP: [64, 128, 256, 512], OUTPUTS: [2, 4, 8, 16] },
  features: [],
  defaults: () => ({ WORKGROUP: 256, OUTPUTS: 8 }),
  refuses: (p) =>
    completesRow(p) ? undefined : "no sequence has a multiple of 16 tokens from 32 on",
  plan: (p, params) => ({
    buffers: {
      ...systemSpecs(p, "input", "lengths", "raw_keys", "raw_values"),
      ...systemSpecs(p, "input", "compress_map", "compress_positions"),
      ...systemSpecs(p, "output", "branch_keys", "branch_values"),
    },
    dispatches: [
      dispatch(nsaCompressKernel, p, params, [
        p.headDim / params.OUTPUTS,
        2 * p.kvHeads,
        p.batch,
      ]),
    ],
  }),
  cost,
});
