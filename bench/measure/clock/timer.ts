/**
 * Times compute passes, by the GPU's own clock where it has a usable one, else by wall time. Web
 * APIs only.
 */
import { encodePass, type RecordPass } from "../../../kernels/core/run.ts";
import { idleAtMs, SYSTEM_CLOCK, type WallClock } from "./gpu_passes.ts";
import { timestampTimer } from "./timestamps.ts";
import { UsageError } from "../../base/usage_error.ts";

/** Which clock to use; `auto` takes timestamps where they are usable, else wall time. */
export const TIMER_CHOICES = ["auto", "timestamp", "wall"] as const;

/** One of {@linkcode TIMER_CHOICES}. */
export type TimerChoice = (typeof TIMER_CHOICES)[number];

/** Times compute passes on one device. */
export interface GpuTimer {
  readonly kind: "timestamp" | "wall";
  /** Nanoseconds of a tick; null for wall time. */
  readonly nsPerTick: number | null;
  /** Nanoseconds between neighbouring values of a timestamp; null for wall time. */
  readonly grainNs: number | null;
  /** The least difference of two times that means anything, in microseconds. */
  readonly resolutionUs: number;
  /** What is unusual about this timer, in one sentence for the user; null if nothing is. */
  readonly note: string | null;
  /** The wall clock that limits of time go by. */
  nowMs(): number;
  /**
   * Runs `before` untimed, then times each of `passes`.
   *
   * @returns microseconds of each pass, above 0 and finite; null where the clock gave no such time.
   */
  time(passes: readonly RecordPass[], before?: readonly RecordPass[]): Promise<(number | null)[]>;
}

/** How a timer is made. */
export interface TimerSettings {
  /** A short pass that does work: stamps of an empty pass need not mean anything. */
  readonly work: RecordPass;
  /** Default `auto`. */
  readonly choice?: TimerChoice;
  /** The shortest time to calibrate for, default 1000; a coarse clock takes longer. */
  readonly calibrateMs?: number;
  readonly clock?: WallClock;
}

/**
 * Makes the timer of a device.
 *
 * @throws {UsageError} if `timestamp` is chosen and the device has no usable timestamps.
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

/** What a submission costs by itself, which varies. */
const WALL_RESOLUTION_US = 500;

/** Times submissions: right only for passes far longer than a submission's own cost. */
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
        // The clocks of browsers are coarse: a short pass can take no time at all.
        times.push(us > 0 ? us : null);
      }
      return times;
    },
  };
}
