/** Fills buffers with hashed data on the device. */
import type { BufferPart } from "../../../kernels/core/variant.ts";
import { ALIGNMENT } from "../../../kernels/core/pieces.ts";
import { allocate } from "../../../kernels/core/run/program.ts";
import { runPlan, write } from "../../../kernels/core/run/run.ts";
import { fillDispatch } from "../../../kernels/probe/probes.ts";

/**
 * Fills a buffer with hashed data of a kind (see `fill.wgsl`). Only the seed decides the data, and
 * where a binding does not hold the buffer, `most`, the bytes of a binding.
 */
export async function fill(
  device: GPUDevice,
  buffer: GPUBuffer,
  kind: number,
  seed: number,
  most: number = device.limits.maxStorageBufferBindingSize,
): Promise<void> {
  const stride = Math.floor(most / ALIGNMENT) * ALIGNMENT;
  for (let offset = 0; offset < buffer.size; offset += stride) {
    const bytes = Math.min(stride, buffer.size - offset);
    // Parts differ, so each has a seed of its own.
    await fillPart(device, buffer, { offset, bytes }, kind, seed + offset / stride);
  }
}

async function fillPart(
  device: GPUDevice,
  buffer: GPUBuffer,
  part: BufferPart,
  kind: number,
  seed: number,
): Promise<void> {
  const words = part.bytes / 4;
  const buffers = {
    range: { bytes: 8, role: "input" },
    data: { bytes: buffer.size, role: "output", bound: part.bytes },
  } as const;
  const { range } = allocate(device, { range: buffers.range });
  write(device, range, Uint32Array.of(words, seed >>> 0));
  const dispatch = { ...fillDispatch(words, kind), places: { data: part } };
  await runPlan(device, { buffers, dispatches: [dispatch] }, { range, data: buffer }, {
    unroll: false,
  });
  range.destroy();
}
