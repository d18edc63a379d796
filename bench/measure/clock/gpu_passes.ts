/** Waits for a device's queue, by the wall clock. */

/** Time outside the GPU. Tests replace it by a fake clock. */
export interface WallClock {
  nowMs(): number;
  sleep(ms: number): Promise<void>;
}

/** The system's clock. */
export const SYSTEM_CLOCK: WallClock = {
  nowMs: () => performance.now(),
  sleep: (ms) => new Promise((resolve) => setTimeout(resolve, ms)),
};

/**
 * Whether a call of onSubmittedWorkDone() blocks until the GPU is idle, as in Deno's own WebGPU,
 * where the promise resolves 10 ms late. Elsewhere (in browsers, and with Dawn inside Deno) the call
 * returns at once, and the promise resolves in time.
 */
export function callBlocks(device: GPUDevice): boolean {
  return "Deno" in globalThis && device instanceof GPUDevice;
}

/** Waits until the GPU is idle. Returns the earliest time at which that is known. */
export async function idleAtMs(device: GPUDevice, clock: WallClock): Promise<number> {
  const blocks = callBlocks(device);
  const done = device.queue.onSubmittedWorkDone();
  const afterCallMs = clock.nowMs();
  await done;
  return blocks ? afterCallMs : clock.nowMs();
}
