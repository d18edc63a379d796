/** Checks that a device has room for buffers, so that a clear error comes before a failed run. */
import type { BufferSpec, DeviceLimits, Plan } from "../variant.ts";
import { allocate, bufferSize, checkFits } from "./program.ts";
import { refusesBytes } from "../refusals.ts";

/** The device has too little free memory; other programs may hold the rest. */
export class DeviceMemoryError extends RangeError {
  /** Name of the error class. */
  override readonly name = "DeviceMemoryError";
}

/**
 * Refuses a plan that a device cannot hold. Buffers count with their padded sizes.
 *
 * @throws {RangeError} naming the size needed and the limit.
 */
export function checkHolds(plan: Plan, limits: DeviceLimits): void {
  checkFits(plan, limits);
  for (const [name, spec] of Object.entries(plan.buffers)) checkBytes(name, spec, limits);
}

/**
 * Refuses a buffer that exceeds a device's limits with its padded size.
 *
 * @param what Names the buffer in the error.
 * @throws {RangeError} naming the size needed and the limit.
 */
export function checkBytes(
  what: string,
  spec: Pick<BufferSpec, "bytes" | "bound">,
  limits: DeviceLimits,
): void {
  const padded = { bytes: bufferSize(spec.bytes), bound: bufferSize(spec.bound ?? spec.bytes) };
  const why = refusesBytes(what, padded, limits);
  if (why) throw new RangeError(why);
}

/**
 * Calls `create`, which makes buffers, and returns its result.
 *
 * @param what Names the buffers in the error.
 * @throws {DeviceMemoryError} if the device has no memory left for them.
 */
export async function withinMemory<T>(
  device: GPUDevice,
  what: string,
  bytes: number,
  create: () => T,
): Promise<T> {
  device.pushErrorScope("out-of-memory");
  const created = create();
  if (await device.popErrorScope() === null) return created;
  throw new DeviceMemoryError(
    `the device has too little memory left for ${what}, which needs ${bytes} bytes`,
  );
}

/**
 * Makes one buffer per spec, like {@linkcode allocate}. If not all of them fit, none is left.
 *
 * @throws {DeviceMemoryError} if the device has no memory left for them.
 */
export async function allocateWithin(
  device: GPUDevice,
  specs: Readonly<Record<string, BufferSpec>>,
): Promise<Record<string, GPUBuffer>> {
  const bytes = Object.values(specs).reduce((sum, spec) => sum + spec.bytes, 0);
  let buffers: Record<string, GPUBuffer> = {};
  try {
    return await withinMemory(device, Object.keys(specs).join(", "), bytes, () => {
      buffers = allocate(device, specs);
      return buffers;
    });
  } catch (error) {
    for (const buffer of Object.values(buffers)) buffer.destroy();
    throw error;
  }
}
