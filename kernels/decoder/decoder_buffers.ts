/** Checks the caller's buffers and the memory for the others, before the decoder makes any. */
import type { BufferSpec, DeviceLimits } from "../core/variant.ts";
import { bufferSize } from "../core/program.ts";

/** Buffers that a caller may give, with the layouts of `layout.ts`. */
export type DecoderBufferName =
  | "q"
  | "keys"
  | "values"
  | "lengths"
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
  query_map: false,
  key_map: false,
  codes: true,
  factors: true,
  key_stats: true,
  sink_logits: false,
  out: true,
};

/** Most bytes of a storage buffer that is bound as a whole, or in parts of `bound` bytes. */
function mostStorageBytes(limits: DeviceLimits, bound?: number): number {
  if (bound !== undefined) return limits.maxBufferSize;
  return Math.min(limits.maxStorageBufferBindingSize, limits.maxBufferSize);
}

/** The caller's buffers by name. */
export type CallersBuffers = Readonly<Partial<Record<DecoderBufferName, GPUBuffer>>>;

/**
 * The caller's buffers that a plan uses. The others are ignored: another decoder may need them.
 *
 * @param needed All buffers of the plan.
 * @param limits The limits of the device.
 * @throws {RangeError} one sentence: an unknown name, a buffer that is too small, too large to bind
 * or made for another binding, or one buffer under two names of which one is written.
 */
export function checkCallersBuffers(
  needed: Readonly<Record<string, BufferSpec>>,
  given: CallersBuffers,
  limits: DeviceLimits,
): Record<string, GPUBuffer> {
  const used: Record<string, GPUBuffer> = {};
  for (const [name, buffer] of Object.entries(given)) {
    if (!(name in WRITTEN)) {
      const known = Object.keys(WRITTEN).join(", ");
      throw new RangeError(`no buffer is called ${name}; a caller may give ${known}`);
    }
    if (!buffer || !needed[name]) continue;
    const { bytes, bound, uniform } = needed[name];
    if (buffer.size < bytes) {
      throw new RangeError(`buffer ${name} has ${buffer.size} bytes, ${bytes} are needed`);
    }
    const most = uniform ? limits.maxUniformBufferBindingSize : mostStorageBytes(limits, bound);
    if (buffer.size > most) {
      throw new RangeError(
        `buffer ${name} has ${buffer.size} bytes, this device binds ${most} at most`,
      );
    }
    const usage = uniform ? "UNIFORM" : "STORAGE";
    if ((buffer.usage & GPUBufferUsage[usage]) === 0) {
      throw new RangeError(`buffer ${name} was made without the usage ${usage}`);
    }
    const otherName = Object.keys(used).find((other) => used[other] === buffer);
    const writes = (each: string) => WRITTEN[each as DecoderBufferName];
    if (otherName && (writes(otherName) || writes(name))) {
      const written = writes(name) ? name : otherName;
      throw new RangeError(
        `${otherName} and ${name} are the same buffer, but the decoder writes ${written}`,
      );
    }
    used[name] = buffer;
  }
  return used;
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
  if (sum > memoryLimit) {
    throw new RangeError(
      `the decoder's own ${sizes.length} buffers need ${sum} bytes, but memoryLimit is ` +
        `${memoryLimit}`,
    );
  }
}
