/** When passes on a device's queue are done, by the wall clock. Web APIs only. */

/** Time outside the GPU. Tests put a clock of their own in its place. */
export interface WallClock {
  nowMs(): number;
  sleep(ms: number): Promise<void>;
}

/** The system's own. */
export const SYSTEM_CLOCK: WallClock = {
  nowMs: () => performance.now(),
  sleep: (ms) => new Promise((resolve) => setTimeout(resolve, ms)),
};

/**
 * Waits until the GPU is idle; returns the time at which it was known to be. In Deno's own WebGPU
 * the call blocks until then and the await comes 10 ms late. Elsewhere (in browsers, and with Dawn
 * inside Deno) the call returns at once and the await is what waits.
 */
export async function idleAtMs(device: GPUDevice, clock: WallClock): Promise<number> {
  const blocks = "Deno" in globalThis && device instanceof GPUDevice;
  const done = device.queue.onSubmittedWorkDone();
  const afterCallMs = clock.nowMs();
  await done;
  return blocks ? afterCallMs : clock.nowMs();
}
