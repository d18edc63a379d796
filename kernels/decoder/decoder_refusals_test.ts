import { assertEquals, assertRejects } from "@std/assert";
import { bufferBytes } from "../core/layout.ts";
import { type Problem, ROTATED_CODE } from "../core/problem/problem.ts";
import { createDecoder, type DecoderOptions } from "./decoder.ts";

const P: Problem = {
  batch: 1,
  qHeads: 8,
  kvHeads: 2,
  headDim: 64,
  kvLen: 1,
  capacity: 4096,
  dtype: "f16",
  bits: 32,
  sharing: "head",
  map: { layers: 1, hidden: 64, dtype: "f16" },
  topK: { sparsity: 8 },
  sink: 4,
  recent: 16,
};

/** A device with WebGPU's default limits. Any other use of it fails the test. */
function untouchable(limits: Partial<Record<string, number>> = {}): GPUDevice {
  const known: Record<string, unknown> = {
    features: new Set(),
    limits: {
      maxStorageBufferBindingSize: 2 ** 27,
      maxBufferSize: 2 ** 28,
      maxComputeWorkgroupStorageSize: 16384,
      maxComputeInvocationsPerWorkgroup: 256,
      maxComputeWorkgroupSizeX: 256,
      maxComputeWorkgroupsPerDimension: 65535,
      maxStorageBuffersPerShaderStage: 8,
      maxUniformBufferBindingSize: 65536,
      minStorageBufferOffsetAlignment: 256,
      minUniformBufferOffsetAlignment: 64,
      ...limits,
    },
    adapterInfo: {},
  };
  return new Proxy({}, {
    get: (_, name) => {
      if (!(String(name) in known)) throw new Error(`device.${String(name)} was touched`);
      return known[String(name)];
    },
  }) as GPUDevice;
}

function buffer(bytes: number, usage = 0x80): GPUBuffer {
  return { size: bytes, usage } as GPUBuffer;
}

const sizes = bufferBytes(P);
const shared = buffer(sizes.q);
const large = buffer(2 ** 22);
const REFUSALS: Record<
  string,
  { p?: Partial<Problem>; limits?: Record<string, number>; options?: unknown; message: string }
> = {
  "an impossible problem": {
    p: { capacity: 1000 },
    message: "capacity must be a multiple of 16 tokens, got 1000",
  },
  "a KV head beyond the binding limit": {
    p: { capacity: 2 ** 21 },
    message: "a KV head of keys needs 268435456 bytes, this device binds 134217728 at most",
  },
  "the only KV head, if it is beyond the binding limit": {
    p: { capacity: 2 ** 21, kvHeads: 1 },
    message: "buffer keys needs 268435456 bytes, this device binds 134217728 at most",
  },
  "a cache in pieces beyond the limit of a buffer": {
    p: { capacity: 2 ** 20 },
    limits: { maxBufferSize: 2 ** 28 - 4 },
    message: "buffer keys needs 268435456 bytes, this device makes 268435452 at most",
  },
  "pieces that do not begin where bindings may": {
    p: { ...ROTATED_CODE, capacity: 2 ** 19 + 16 },
    limits: { maxStorageBufferBindingSize: 2 ** 26 + 2 ** 11 },
    message:
      "a piece of factors has 524304 bytes, but pieces begin at multiples of 256; a capacity",
  },
  "pieces of f16 queries that do not begin where bindings may": {
    p: { capacity: 2 ** 20, qHeads: 6, qDtype: "f16" },
    limits: { maxBufferSize: 2 ** 32, maxComputeWorkgroupsPerDimension: 2 ** 17 },
    message: "a piece of q has 384 bytes, but pieces begin at multiples of 256",
  },
  "a format that a variant does not take": {
    p: { softCap: -1 },
    message: "softCap must be a number from 0.001 to 1000000, got -1",
  },
  "a sum beyond the caller's limit": {
    options: { memoryLimit: 1e6 },
    message: "bytes, but memoryLimit is 1000000",
  },
  "more workgroups than the device allows": {
    limits: { maxComputeWorkgroupsPerDimension: 100 },
    message: "encode/prompt needs 128 workgroups in a dimension, this device allows 100",
  },
  "too little workgroup memory": {
    limits: { maxComputeWorkgroupStorageSize: 64 },
    message: "bytes of workgroup memory, this device allows 64",
  },
  "an unknown variant": {
    options: { variant: "pipeline/none" },
    message: "no kernel is called pipeline/none; the known kernels are encode/query",
  },
  "a variant that is not a whole step": {
    options: { variant: "score/hamming" },
    message: "a decoder needs a pipeline or dense variant, but score/hamming is a variant of score",
  },
  "a missing feature": {
    options: { variant: "dense/split_subgroup" },
    message: "dense/split_subgroup needs the device feature subgroups",
  },
  "parameters of an unknown variant": {
    options: { params: { "encode/none": {} } },
    message: "no kernel is called encode/none",
  },
  "an unknown parameter": {
    options: { params: { "pipeline/sparse": { BLOCK: 512 } } },
    message: "pipeline/sparse has no parameter BLOCK; its parameters are encode.WORKGROUP",
  },
  "a parameter out of range": {
    options: { params: { "pipeline/sparse": { "score.BLOCK": 1000 } } },
    message: "BLOCK of score/hamming must be 512, 1024, 2048, 4096, 8192, got 1000",
  },
  "a parameter that is not a whole number": {
    options: { params: { "encode/prompt": { TILE: 0.5 } } },
    message: "parameter TILE of encode/prompt must be a whole number, got 0.5",
  },
  "parameters that contradict each other": {
    options: { params: { "encode/prompt": { TILE: 8, WORKGROUP: 256 } } },
    message: "encode/prompt: 8 tokens by 32 outputs leave some of 256 threads idle",
  },
  "a caller's buffer that is too small": {
    options: { buffers: { keys: buffer(sizes.keys - 2) } },
    message: `buffer keys has ${sizes.keys - 2} bytes, ${sizes.keys} are needed`,
  },
  "a caller's buffer that is too large to bind": {
    options: { buffers: { keys: buffer(2 ** 28) } },
    message: "buffer keys has 268435456 bytes, this device binds 134217728 at most",
  },
  "a caller's buffer without the usage STORAGE": {
    options: { buffers: { q: buffer(sizes.q, 0x40) } },
    message: "buffer q was made without the usage STORAGE",
  },
  "sink logits without the usage UNIFORM": {
    options: { buffers: { sink_logits: buffer(sizes.sink_logits) } },
    message: "buffer sink_logits was made without the usage UNIFORM",
  },
  "sink logits beyond the uniform limit": {
    options: { buffers: { sink_logits: buffer(65552, 0x40) } },
    message: "buffer sink_logits has 65552 bytes, this device binds 65536 at most",
  },
  "more heads than a uniform buffer holds": {
    limits: { maxUniformBufferBindingSize: 16 },
    message: "uniform buffer sink_logits needs 32 bytes, this device binds 16 at most",
  },
  "an unknown hand-over": {
    options: { handOver: "foo" },
    message: "handOver must be one of dispatch, barrier, atomics, got foo",
  },
  "two hand-overs": {
    options: { handOver: "atomics", lastArriver: true },
    message: 'lastArriver means handOver "barrier", which contradicts "atomics"',
  },
  "a caller's buffer with an unknown name": {
    options: { buffers: { distances: buffer(1e6) } },
    message: "no buffer is called distances; a caller may give q, keys",
  },
  "one buffer as an input and an output": {
    options: { buffers: { q: shared, out: shared } },
    message: "q and out have bytes in common, but the decoder writes out",
  },
  "a part that begins off the alignment": {
    options: { buffers: { q: { buffer: buffer(2 ** 20), offset: 128 } } },
    message:
      "the offset of buffer q must be a multiple of 256, the device's minStorageBufferOffsetAlignment, got 128",
  },
  "sink logits that begin off the alignment": {
    options: { buffers: { sink_logits: { buffer: buffer(2 ** 10, 0x40), offset: 32 } } },
    message:
      "the offset of buffer sink_logits must be a multiple of 64, the device's minUniformBufferOffsetAlignment, got 32",
  },
  "a part beyond its buffer": {
    options: { buffers: { q: { buffer: buffer(sizes.q), offset: 256, size: sizes.q } } },
    message: `buffer q must end within its ${sizes.q} bytes, got ${sizes.q} bytes at 256`,
  },
  "a part that is too small": {
    options: { buffers: { q: { buffer: buffer(2 ** 20), offset: 256, size: sizes.q - 4 } } },
    message: `buffer q has ${sizes.q - 4} bytes, ${sizes.q} are needed`,
  },
  "what is behind an offset, if it is too small": {
    options: { buffers: { q: { buffer: buffer(sizes.q), offset: 256 } } },
    message: `buffer q has ${sizes.q - 256} bytes, ${sizes.q} are needed`,
  },
  "a part of other than whole words": {
    options: { buffers: { q: { buffer: buffer(2 ** 20), size: sizes.q + 2 } } },
    message: `buffer q must have a multiple of 4 bytes, got ${sizes.q + 2}`,
  },
  "parts that overlap, if one is written": {
    options: {
      buffers: {
        codes: { buffer: large, size: sizes.codes },
        out: { buffer: large, offset: sizes.codes - 256, size: sizes.out },
      },
    },
    message: "codes and out have bytes in common, but the decoder writes out",
  },
  "parts of a buffer that one dispatch reads and writes": {
    options: {
      buffers: {
        keys: { buffer: large, size: sizes.keys },
        codes: { buffer: large, offset: sizes.keys },
      },
    },
    message: "keys and codes are parts of one buffer, but encode/",
  },
  "a misspelt field of the problem": {
    p: { softcap: 2 } as Partial<Problem>,
    message: "the problem has no field softcap; known are batch, qHeads",
  },
  "a misspelt option": {
    options: { Variant: "dense/split" },
    message: "options has no field Variant; known are variant, handOver",
  },
  "options that are a name": {
    options: "dense/split",
    message: "options must be an object, got dense/split",
  },
  "no rule for the number of tokens": {
    p: { topK: undefined },
    message: "topK must be an object, got undefined",
  },
  "a number as a text": {
    p: { scale: "8" } as unknown as Partial<Problem>,
    message: "scale must be a number from 0.000001 to 1000000, got 8",
  },
  "strides without one for tokens": {
    p: { kvStrides: { outer: 2 ** 20, head: 2 ** 18 } } as unknown as Partial<Problem>,
    message: "kvStrides.token must be a whole number from 64 to 4294967295, got undefined",
  },
  "strides by which heads and tokens overlap": {
    p: { kvStrides: { outer: 2 ** 20, head: 64, token: 64 } },
    message: "kvStrides let rows overlap: a stride of 64 elements steps over 128",
  },
  "a limit of memory that is no number": {
    options: { memoryLimit: NaN },
    message: "memoryLimit must be a number of bytes, got NaN",
  },
  "the name of a method as a hand-over": {
    options: { handOver: "toString" },
    message: "handOver must be one of dispatch, barrier, atomics, got toString",
  },
  "data in place of a buffer": {
    options: { buffers: { keys: new Float32Array(5) } },
    message: "buffer keys must be a GPUBuffer or { buffer, offset, size }",
  },
  "a number in place of a buffer": {
    options: { buffers: { keys: 5 } },
    message: "buffer keys must be a GPUBuffer or { buffer, offset, size }",
  },
  "an offset as a text": {
    options: { buffers: { q: { buffer: buffer(2 ** 20), offset: "256" } } },
    message: "the offset of buffer q must be a multiple of 256",
  },
};

for (const [what, { p, limits, options, message }] of Object.entries(REFUSALS)) {
  Deno.test(`createDecoder() refuses ${what} before it uses the device`, async () => {
    const refused = () =>
      createDecoder(untouchable(limits), { ...P, ...p }, options as DecoderOptions);
    const error = await assertRejects(refused, RangeError, message);
    assertEquals(error.message.split("\n").length, 1);
  });
}
