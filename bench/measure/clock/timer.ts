/** Times compute passes, by the GPU's own clock if it is usable, else by wall time. */
import type { GpuTimer } from "./gpu_timer.ts";
import { encodePass, type RecordPass } from "../../../kernels/core/run/run.ts";
import { idleAtMs, SYSTEM_CLOCK, type WallClock } from "./gpu_passes.ts";
import { timestampTimer } from "./timestamps.ts";
import { UsageError } from "../../base/usage_error.ts";

/** Clocks to choose from. `auto` takes timestamps if they are usable, else wall time. */
export const TIMER_CHOICES = ["auto", "timestamp", "wall"] as const;

/** One of {@linkcode TIMER_CHOICES}. */
export type TimerChoice = (typeof TIMER_CHOICES)[number];

/** How a timer is made. */
export interface TimerSettings {
  /** A short pass that does work, since the timestamps of an empty pass may be meaningless. */
  readonly work: RecordPass;
  /** Default `auto`. */
  readonly choice?: TimerChoice;
  /** Shortest time to calibrate for, default 1000 ms. A coarse clock takes longer. */
  readonly calibrateMs?: number;
  readonly clock?: WallClock;
}

/**
 * Makes the timer of a device.
 *
 * @throws {UsageError} if `choice` is `timestamp` and the device has no usable timestamps.
 */
export async function createTimer(
  device: GPUDevice,
  { work, choice = "auto", calibrateMs = 1000, clock = SYSTEM_CLOCK }: TimerSettings,
): Promise<GpuTimer> {
  if (choice === "wall") return wallTimer(device, clock, null);
  const timer = device.features.has("timestamp-query")
    ? await timestampTimer(device, work, calibrateMs, clock)
    : "this device has no timestamps";
  if (typeof timer !== "string") return timer;
  if (choice === "timestamp") throw new UsageError(`--timer timestamp is not possible: ${timer}.`);
  return wallTimer(device, clock, `Wall time is used, since ${timer}.`);
}

/** The cost of a submission itself varies by about this much. */
const WALL_RESOLUTION_US = 500;

/**
 * Times whole submissions, which is accurate only for passes far longer than a submission's cost.
 */
function wallTimer(device: GPUDevice, clock: WallClock, note: string | null): GpuTimer {
  return {
    kind: "wall",
    nsPerTick: null,
    grainNs: null,
    resolutionUs: WALL_RESOLUTION_US,
    note,
    nowMs: clock.nowMs,
    async time(passes, before = []) {
      device.queue.submit(before.map((record) => encodePass(device, record)));
      const times: (number | null)[] = [];
      for (const record of passes) {
        const commands = encodePass(device, record);
        await idleAtMs(device, clock);
        const beginMs = clock.nowMs();
        device.queue.submit([commands]);
        const us = (await idleAtMs(device, clock) - beginMs) * 1000;
        // The clocks of browsers are coarse, so a short pass may seem to take no time.
        times.push(us > 0 ? us : null);
      }
      return times;
    },
  };
}
