/** Memory of a device: what it has no room for is refused before anything runs into it. */
import type { BufferSpec, DeviceLimits, Plan } from "./variant.ts";
import { allocate, bufferSize, checkFits } from "./program.ts";

/** The device has less memory left than is asked for: others may hold it. */
export class DeviceMemoryError extends RangeError {
  /** Name of the error class. */
  override readonly name = "DeviceMemoryError";
}

/**
 * Refuses a plan that a device cannot hold, its buffers as they are made.
 *
 * @throws {RangeError} with both sizes.
 */
export function checkHolds(plan: Plan, limits: DeviceLimits): void {
  checkFits(plan, limits);
  for (const [name, { bytes }] of Object.entries(plan.buffers)) {
    checkBytes(name, bufferSize(bytes), limits);
  }
}

/**
 * Refuses a buffer beyond a device's limits.
 *
 * @param what Names the buffer in the error.
 * @throws {RangeError} with both sizes.
 */
export function checkBytes(what: string, bytes: number, limits: DeviceLimits): void {
  const most = Math.min(limits.maxStorageBufferBindingSize, limits.maxBufferSize);
  if (bytes <= most) return;
  throw new RangeError(`buffer ${what} needs ${bytes} bytes, this adapter binds ${most} at most`);
}

/**
 * Runs what creates buffers, and gives what it gives.
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
 * {@linkcode allocate}, of which nothing is left where not all of it fits.
 *
 * @throws {DeviceMemoryError} if the device has no memory left for them.
 */
export async function allocateWithin(
  device: GPUDevice,
  specs: Readonly<Record<string, BufferSpec>>,
): Promise<Record<string, GPUBuffer>> {
  const bytes = Object.values(specs).reduce((sum, spec) => sum + spec.bytes, 0);
  let made: Record<string, GPUBuffer> = {};
  try {
    return await withinMemory(device, Object.keys(specs).join(", "), bytes, () => {
      made = allocate(device, specs);
      return made;
    });
  } catch (error) {
    for (const buffer of Object.values(made)) buffer.destroy();
    throw error;
  }
}
