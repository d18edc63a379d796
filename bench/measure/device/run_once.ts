/** Small GPU errands around a measurement: run a plan once, fill, poison and read buffers. */
import type { BufferSpec, Plan } from "../../../kernels/core/variant.ts";
import {
  allocate,
  bindProgram,
  type BoundProgram,
  compilePlan,
  recordProgram,
} from "../../../kernels/core/program.ts";
import { fillDispatch } from "../../../kernels/probe/probes.ts";
import { withinMemory } from "./device_memory.ts";

/** Submits a bound program once; what follows on the queue sees its results. */
export function submitOnce(device: GPUDevice, bound: BoundProgram): void {
  const encoder = device.createCommandEncoder();
  const pass = encoder.beginComputePass();
  recordProgram(pass, bound);
  pass.end();
  device.queue.submit([encoder.finish()]);
}

/** Compiles and runs a plan once over the given buffers. */
export async function runPlan(
  device: GPUDevice,
  plan: Plan,
  buffers: Readonly<Record<string, GPUBuffer>>,
  unroll: boolean,
): Promise<void> {
  const program = await compilePlan(device, plan, { unroll });
  submitOnce(device, bindProgram(device, program, buffers));
}

/** Fills a buffer with hashed data of a kind (see `fill.wgsl`); the data depend on the seed alone. */
export async function fill(
  device: GPUDevice,
  buffer: GPUBuffer,
  kind: number,
  seed: number,
): Promise<void> {
  const words = buffer.size / 4;
  const buffers = {
    range: { bytes: 8, role: "input" },
    data: { bytes: buffer.size, role: "output" },
  } as const;
  const { range } = allocate(device, { range: buffers.range });
  device.queue.writeBuffer(range, 0, new Uint32Array([words, seed >>> 0]));
  const plan: Plan = { buffers, dispatches: [fillDispatch(words, kind)] };
  await runPlan(device, plan, { range, data: buffer }, false);
  range.destroy();
}

/**
 * Overwrites a buffer with bytes of 0xff: NaN as floats, no valid index as whole numbers. The bytes
 * that a step has to leave at zero stay as it left them.
 */
export function poison(
  device: GPUDevice,
  buffer: GPUBuffer,
  zeros: BufferSpec["zeros"] = { offset: 0, bytes: 0 },
): void {
  const chunk = new Uint8Array(Math.min(buffer.size, 1 << 24)).fill(0xff);
  const zerosEnd = zeros.offset + zeros.bytes;
  for (const [begin, end] of [[0, zeros.offset], [zerosEnd, buffer.size]]) {
    for (let at = begin; at < end; at += chunk.length) {
      device.queue.writeBuffer(buffer, at, chunk, 0, Math.min(chunk.length, end - at));
    }
  }
}

/** Bytes that are read at a time: any device has buffers of so many. */
const READ_BYTES = 2 ** 28;

/**
 * Reads bytes of a buffer; offset and length may be anything inside it, and longer than a buffer
 * that can be mapped.
 */
export async function readBytes(
  device: GPUDevice,
  buffer: GPUBuffer,
  offset: number,
  length: number,
  mostBytes = READ_BYTES,
): Promise<Uint8Array<ArrayBuffer>> {
  // Words before the first and after the last byte come along.
  const most = mostBytes - 8;
  if (length <= most) return await readPart(device, buffer, offset, length);
  const bytes = new Uint8Array(length);
  for (let at = 0; at < length; at += most) {
    bytes.set(await readPart(device, buffer, offset + at, Math.min(most, length - at)), at);
  }
  return bytes;
}

async function readPart(
  device: GPUDevice,
  buffer: GPUBuffer,
  offset: number,
  length: number,
): Promise<Uint8Array<ArrayBuffer>> {
  const begin = Math.floor(offset / 4) * 4;
  const size = Math.ceil((offset + length - begin) / 4) * 4;
  // GPUBufferUsage.COPY_DST | MAP_READ
  const usage = 0x8 | 0x1;
  const create = () => device.createBuffer({ size: Math.max(4, size), usage });
  const staging = await withinMemory(device, "what is read back", size, create);
  const encoder = device.createCommandEncoder();
  encoder.copyBufferToBuffer(buffer, begin, staging, 0, size);
  device.queue.submit([encoder.finish()]);
  await staging.mapAsync(1); // GPUMapMode.READ
  const bytes = new Uint8Array(
    staging.getMappedRange().slice(offset - begin, offset - begin + length),
  );
  staging.destroy();
  return bytes;
}
