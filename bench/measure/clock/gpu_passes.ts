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
 * Waits until the GPU is idle. Returns the earliest time at which that is known. In Deno's own
 * WebGPU the call blocks until the GPU is idle, and the promise resolves 10 ms late. Elsewhere (in
 * browsers, and with Dawn inside Deno) the call returns at once, and the promise resolves in time.
 */
export async function idleAtMs(device: GPUDevice, clock: WallClock): Promise<number> {
  const blocks = "Deno" in globalThis && device instanceof GPUDevice;
  const done = device.queue.onSubmittedWorkDone();
  const afterCallMs = clock.nowMs();
  await done;
  return blocks ? afterCallMs : clock.nowMs();
}
