/** Checks the caller's buffers and the memory for the others, before the decoder makes any. */
import type { Binding } from "../core/wgsl/wgsl_facts.ts";
import type { BufferSpec, Plan } from "../core/variant.ts";
import { bindingOf, type BufferOrPart, bufferSize } from "../core/run/program.ts";

/** Buffers that a caller may give, with the layouts of `layout.ts`. */
export type DecoderBufferName =
  | "q"
  | "keys"
  | "values"
  | "lengths"
  | "first_tokens"
  | "query_map"
  | "key_map"
  | "codes"
  | "factors"
  | "key_stats"
  | "sink_logits"
  | "out";

/** Whether a decoder writes the buffer. A buffer that is written must not have two names. */
const WRITTEN: Readonly<Record<DecoderBufferName, boolean>> = {
  q: false,
  keys: false,
  values: false,
  lengths: false,
  first_tokens: false,
  query_map: false,
  key_map: false,
  codes: true,
  factors: true,
  key_stats: true,
  sink_logits: false,
  out: true,
};

/** Whether a buffer of a decoder is scratch: nothing outside of a step knows of it. */
export function isScratch(name: string): boolean {
  return !(name in WRITTEN);
}

/** The limits of a device that bound a binding. */
type BindingLimits = Pick<
  GPUSupportedLimits,
  | "maxBufferSize"
  | "maxStorageBufferBindingSize"
  | "maxUniformBufferBindingSize"
  | "minStorageBufferOffsetAlignment"
  | "minUniformBufferOffsetAlignment"
>;

/** Most bytes of a storage buffer that is bound as a whole, or in parts of `bound` bytes. */
function mostStorageBytes(limits: BindingLimits, bound?: number): number {
  if (bound !== undefined) return limits.maxBufferSize;
  return Math.min(limits.maxStorageBufferBindingSize, limits.maxBufferSize);
}

/**
 * The caller's buffers, or parts of them, by name. A part begins at a multiple of the device's
 * `minStorageBufferOffsetAlignment` (`sink_logits`: `minUniformBufferOffsetAlignment`) and has a
 * multiple of 4 bytes.
 */
export type CallersBuffers = Readonly<Partial<Record<DecoderBufferName, BufferOrPart>>>;

/** A caller's part of a buffer. */
type CallersPart = Required<GPUBufferBinding>;

/**
 * The caller's buffers that a plan uses. The others are ignored: another decoder may need them.
 *
 * @param needed All buffers of the plans.
 * @param plans What the decoder may record.
 * @param limits The limits of the device.
 * @throws {RangeError} one sentence: an unknown name, a buffer or a part that is too small, too large
 * to bind, off the alignment or made for another binding, or two names that must not have the same
 * bytes or the same buffer.
 */
export function checkCallersBuffers(
  needed: Readonly<Record<string, BufferSpec>>,
  plans: readonly Plan[],
  given: CallersBuffers,
  limits: BindingLimits,
): Record<string, CallersPart> {
  const used: Record<string, CallersPart> = {};
  for (const [name, each] of Object.entries(given)) {
    if (isScratch(name)) {
      const known = Object.keys(WRITTEN).join(", ");
      throw new RangeError(`no buffer is called ${name}; a caller may give ${known}`);
    }
    if (!each || !needed[name]) continue;
    if (Object(each) !== each) throw new RangeError(notABuffer(name));
    const part = bindingOf(each);
    checkPart(name, part, needed[name], limits);
    checkOverlap(name, part, used);
    used[name] = part;
  }
  checkUsages(plans, used);
  return used;
}

function notABuffer(name: string): string {
  return `buffer ${name} must be a GPUBuffer or { buffer, offset, size }`;
}

/** Checks where a part lies, its bytes, and what its buffer was made for. */
function checkPart(
  name: string,
  { buffer, offset, size }: CallersPart,
  { bytes, bound, uniform }: BufferSpec,
  limits: BindingLimits,
): void {
  if (typeof buffer?.usage !== "number") throw new RangeError(notABuffer(name));
  const aligned = uniform ? "minUniformBufferOffsetAlignment" : "minStorageBufferOffsetAlignment";
  if (typeof offset !== "number" || offset < 0 || offset % limits[aligned] !== 0) {
    throw new RangeError(
      `the offset of buffer ${name} must be a multiple of ${limits[aligned]}, the device's ` +
        `${aligned}, got ${offset}`,
    );
  }
  if (!(size > 0 && offset + size <= buffer.size)) {
    throw new RangeError(
      `buffer ${name} must end within its ${buffer.size} bytes, got ${size} bytes at ${offset}`,
    );
  }
  if (size < bytes) {
    throw new RangeError(`buffer ${name} has ${size} bytes, ${bytes} are needed`);
  }
  if (size % 4 !== 0) {
    throw new RangeError(`buffer ${name} must have a multiple of 4 bytes, got ${size}`);
  }
  const most = uniform ? limits.maxUniformBufferBindingSize : mostStorageBytes(limits, bound);
  if (size > most) {
    throw new RangeError(`buffer ${name} has ${size} bytes, this device binds ${most} at most`);
  }
  const usage = uniform ? "UNIFORM" : "STORAGE";
  if ((buffer.usage & GPUBufferUsage[usage]) === 0) {
    throw new RangeError(`buffer ${name} was made without the usage ${usage}`);
  }
}

/** Checks that bytes that the decoder writes have one name. */
function checkOverlap(
  name: string,
  part: CallersPart,
  used: Readonly<Record<string, CallersPart>>,
): void {
  const end = part.offset + part.size;
  for (const [other, { buffer, offset, size }] of Object.entries(used)) {
    if (buffer !== part.buffer || offset >= end || part.offset >= offset + size) continue;
    const written = [name, other].find((each) => WRITTEN[each as DecoderBufferName]);
    if (written) {
      throw new RangeError(
        `${other} and ${name} have bytes in common, but the decoder writes ${written}`,
      );
    }
  }
}

/**
 * Checks that no dispatch writes a buffer that it also binds in another way: WebGPU forbids that of
 * whole buffers, whichever parts are bound.
 */
function checkUsages(
  plans: readonly Plan[],
  used: Readonly<Record<string, CallersPart>>,
): void {
  const ways = new Map<GPUBuffer, { name: string; access: Binding["access"] }>();
  for (const { kernel, rename } of plans.flatMap(({ dispatches }) => dispatches)) {
    ways.clear();
    for (const { name: own, access } of kernel.bindings) {
      const name = rename?.[own] ?? own;
      if (!used[name]) continue;
      const { buffer } = used[name];
      const first = ways.get(buffer);
      if (!first) ways.set(buffer, { name, access });
      else if (first.access !== access && [first.access, access].includes("read_write")) {
        const [reads, writes] = access === "read_write" ? [first.name, name] : [name, first.name];
        throw new RangeError(
          `${reads} and ${writes} are parts of one buffer, but ${kernel.name} reads the one and ` +
            `writes the other, which WebGPU allows of two buffers only`,
        );
      }
    }
  }
}

/**
 * Checks the memory that the missing buffers need together.
 *
 * @throws {RangeError} naming the bytes needed and the limit.
 */
export function checkMemory(
  missing: Readonly<Record<string, BufferSpec>>,
  memoryLimit: number,
): void {
  const sizes = Object.values(missing).map(({ bytes }) => bufferSize(bytes));
  const sum = sizes.reduce((a, b) => a + b, 0);
  if (!(memoryLimit >= 0)) {
    throw new RangeError(`memoryLimit must be a number of bytes, got ${memoryLimit}`);
  }
  if (sum > memoryLimit) {
    throw new RangeError(
      `the decoder's own ${sizes.length} buffers need ${sum} bytes, but memoryLimit is ` +
        `${memoryLimit}`,
    );
  }
}
