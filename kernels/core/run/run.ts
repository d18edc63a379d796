/**
 * Runs work on a device: submits a pass, runs a plan once, writes, poisons and reads buffers.
 * Tests, device checks and the benchmark share it.
 */
import type { BufferSpec, Plan, ReadBytes } from "../variant.ts";
import { withinMemory } from "./device_memory.ts";
import {
  bindingOf,
  bindProgram,
  type BufferOrPart,
  type CompileOptions,
  compilePlan,
  recordProgram,
} from "./program.ts";

/** Records into a compute pass. */
export type RecordPass = (pass: GPUComputePassEncoder) => void;

/** Encodes a pass into a command buffer of its own. */
export function encodePass(
  device: GPUDevice,
  record: RecordPass,
  timestampWrites?: GPUComputePassTimestampWrites,
): GPUCommandBuffer {
  const encoder = device.createCommandEncoder();
  const pass = encoder.beginComputePass(timestampWrites ? { timestampWrites } : {});
  record(pass);
  pass.end();
  return encoder.finish();
}

/** Submits all recordings as one pass; later work on the queue sees their results. */
export function submit(device: GPUDevice, ...records: readonly RecordPass[]): void {
  const recordAll: RecordPass = (pass) => records.forEach((record) => record(pass));
  device.queue.submit([encodePass(device, recordAll)]);
}

/** Compiles a plan and runs it once over the given buffers. */
export async function runPlan(
  device: GPUDevice,
  plan: Plan,
  buffers: Readonly<Record<string, GPUBuffer>>,
  options: CompileOptions,
): Promise<void> {
  const bound = bindProgram(device, await compilePlan(device, plan, options), buffers);
  submit(device, (pass) => recordProgram(pass, bound));
}

/** Writes data to the start of a buffer. */
export function write(
  device: GPUDevice,
  buffer: GPUBuffer,
  data: ArrayBufferView<ArrayBuffer>,
): void {
  device.queue.writeBuffer(buffer, 0, data.buffer, data.byteOffset, data.byteLength);
}

/** Byte of poisoned memory: as f32 it is NaN, as an index or a count far too large. */
export const POISON = 0xff;

/**
 * Overwrites a buffer with bytes of 0xff: NaN as a float, and an invalid index as a whole number.
 * The bytes that a step must leave at zero stay as the last step left them.
 */
export function poison(
  device: GPUDevice,
  buffer: GPUBuffer,
  zeros: BufferSpec["zeros"] = { offset: 0, bytes: 0 },
): void {
  const chunk = new Uint8Array(Math.min(buffer.size, 1 << 24)).fill(POISON);
  const every = zeros.every ?? buffer.size;
  for (let part = 0; part < buffer.size; part += every) {
    const zerosBegin = part + zeros.offset;
    const zerosEnd = zerosBegin + zeros.bytes;
    const partEnd = Math.min(part + every, buffer.size);
    for (const [begin, end] of [[part, zerosBegin], [zerosEnd, partEnd]]) {
      for (let offset = begin; offset < end; offset += chunk.length) {
        device.queue.writeBuffer(buffer, offset, chunk, 0, Math.min(chunk.length, end - offset));
      }
    }
  }
}

/** Overwrites some bytes of a buffer in the same way; their neighbours stay. */
export async function poisonPart(
  device: GPUDevice,
  buffer: GPUBuffer,
  offset: number,
  bytes: number,
): Promise<void> {
  // WebGPU writes whole words.
  const begin = offset - offset % 4;
  const size = Math.ceil((offset + bytes - begin) / 4) * 4;
  const words = bytes === size
    ? new Uint8Array(size)
    : await readBytes(device, buffer, begin, size);
  words.fill(POISON, offset - begin, offset - begin + bytes);
  device.queue.writeBuffer(buffer, begin, words);
}

/** Bytes per read: every device allows buffers of this size. */
const READ_BYTES = 2 ** 28;

/**
 * Reads bytes of a buffer. Offset and length need no alignment, and the length may exceed the
 * largest buffer that can be mapped.
 */
export async function readBytes(
  device: GPUDevice,
  buffer: GPUBuffer,
  offset: number,
  length: number,
  mostBytes = READ_BYTES,
): Promise<Uint8Array<ArrayBuffer>> {
  // Copies take whole words, so a part may need up to 3 more bytes on each side.
  const most = mostBytes - 8;
  if (length <= most) return await readPart(device, buffer, offset, length);
  const bytes = new Uint8Array(length);
  for (let done = 0; done < length; done += most) {
    const part = await readPart(device, buffer, offset + done, Math.min(most, length - done));
    bytes.set(part, done);
  }
  return bytes;
}

/** A reader of the given buffers, or parts of them, by name. */
export function readerOf(
  device: GPUDevice,
  buffers: Readonly<Record<string, BufferOrPart>>,
): ReadBytes {
  return (name, offset, length) => {
    const part = bindingOf(buffers[name]);
    return readBytes(device, part.buffer, part.offset + offset, length);
  };
}

async function readPart(
  device: GPUDevice,
  buffer: GPUBuffer,
  offset: number,
  length: number,
): Promise<Uint8Array<ArrayBuffer>> {
  const begin = Math.floor(offset / 4) * 4;
  const size = Math.ceil((offset + length - begin) / 4) * 4;
  const usage = GPUBufferUsage.COPY_DST | GPUBufferUsage.MAP_READ;
  const create = () => device.createBuffer({ size: Math.max(4, size), usage });
  const staging = await withinMemory(device, "the buffer for reading back", size, create);
  const encoder = device.createCommandEncoder();
  encoder.copyBufferToBuffer(buffer, begin, staging, 0, size);
  device.queue.submit([encoder.finish()]);
  await staging.mapAsync(GPUMapMode.READ);
  const bytes = new Uint8Array(
    staging.getMappedRange().slice(offset - begin, offset - begin + length),
  );
  staging.destroy();
  return bytes;
}
