/** A KV cache on the GPU, and the newest token's query, key and value. */
import type { Shape } from "./model.ts";
import type { LayerBuffers } from "./runtime.ts";

/** The buffers of a layer, and what the decoder needs beside them. */
export interface Inputs extends LayerBuffers {
  /** Tokens of the cache: u32 [1]. */
  readonly lengths: GPUBuffer;
}

/**
 * Makes buffers of random numbers. The newest key is its group's first query, so that its token gets
 * much of that head's weight: a row that is missing from the cache would show.
 */
export function makeInputs(
  device: GPUDevice,
  { qHeads, kvHeads, headDim }: Shape,
  length: number,
  capacity: number,
): Inputs {
  const random = normalNumbers(12345);
  const buffer = (data: ArrayBufferView<ArrayBuffer>) => {
    const made = device.createBuffer({
      size: Math.ceil(data.byteLength / 16) * 16, // ONNX Runtime binds multiples of 16 bytes
      usage: GPUBufferUsage.STORAGE | GPUBufferUsage.COPY_SRC | GPUBufferUsage.COPY_DST,
    });
    device.queue.writeBuffer(made, 0, data);
    return made;
  };
  const rows = (count: number) => {
    const numbers = new Float16Array(count * headDim);
    for (let i = 0; i < numbers.length; i++) numbers[i] = random();
    return numbers;
  };
  const query = rows(qHeads);
  const key = rows(kvHeads);
  for (let head = 0; head < kvHeads; head++) {
    const first = head * (qHeads / kvHeads) * headDim;
    key.set(query.subarray(first, first + headDim), head * headDim);
  }
  return {
    query: buffer(query),
    key: buffer(key),
    value: buffer(rows(kvHeads)),
    keys: buffer(rows(kvHeads * capacity)),
    values: buffer(rows(kvHeads * capacity)),
    output: buffer(new Float16Array(qHeads * headDim)),
    lengths: buffer(Uint32Array.of(length)),
  };
}

/** Sums of four bytes of a hash, scaled to a variance of 1. */
function normalNumbers(seed: number): () => number {
  let state = seed;
  return () => {
    state = Math.imul(state ^ (state >>> 15), 0x2c1b3c6d) + 0x9e3779b9 | 0;
    const bits = state ^ (state >>> 13);
    const sum = (bits & 255) + (bits >>> 8 & 255) + (bits >>> 16 & 255) + (bits >>> 24);
    return (sum - 510) / 147.8;
  };
}
