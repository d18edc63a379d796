/** A session: the device of a run, its timer and its probes. */
import { VARIANT_FEATURES } from "../../kernels/core/registry.ts";
import type { DeviceLimits, Variant } from "../../kernels/core/variant.ts";
import { planOn } from "../../kernels/core/pieces.ts";
import type { Problem } from "../../kernels/core/problem/problem.ts";
import type { Tuning } from "../../kernels/core/tuning.ts";
import {
  type HandOverChoice,
  openCheckedDevice,
  type OpenedDevice,
} from "./device/checked_device.ts";
import type { DeviceGuard } from "./device/device_loss.ts";
import { checkHolds } from "../../kernels/core/run/device_memory.ts";
import type { AdapterFacts, OpenedAdapter } from "./device/adapter.ts";
import { refusesInputs } from "./inputs/input_makers.ts";
import { refusesMatrices } from "../../kernels/core/subgroup_matrices.ts";
import { checkProbes } from "./probe_check.ts";
import { createProbes, type ProbeKit } from "./probes.ts";
import type { Attention, SampleSettings } from "./clock/sample_settings.ts";
import type { Rotation } from "./inputs/cache_rotation.ts";
import { createTimer, type TimerChoice } from "./clock/timer.ts";
import type { GpuTimer } from "./clock/gpu_timer.ts";

/** Settings of a run. */
export interface MeasureSettings extends Rotation {
  /** Stop when half the 95% interval of each median is below this, in percent of it (GPUs only). */
  readonly noisePct: number;
  /** Time limit for sampling one case, in milliseconds. */
  readonly maxTimeMs: number;
  readonly timer: TimerChoice;
  /** How one workgroup hands its partials to another (default: `auto`). */
  readonly handOver?: HandOverChoice;
  readonly seed: number;
  /**
   * Budget of inputs on a GPU, in bytes. A small budget means fewer sets, which may stay cached.
   */
  readonly memoryBytes: number;
  readonly suiteVersion: string;
  readonly commit: string;
  /** Tuned parameters. Without them all variants run with their defaults. */
  readonly tuning?: Tuning;
  /** Samples wait for it. Without it they never wait. */
  readonly attention?: Attention;
  readonly onProgress: (message: string, fraction: number) => void;
}

/** A device with its timer and probes, open for a run. */
export interface Session {
  readonly device: GPUDevice;
  /** Tells the loss of the device from a wrong result. */
  readonly guard: DeviceGuard;
  readonly facts: AdapterFacts;
  readonly limits: DeviceLimits;
  readonly features: ReadonlySet<string>;
  readonly timer: GpuTimer;
  /** A sentence for each feature that the device lacks and each check that it failed. */
  readonly notes: readonly string[];
  readonly probes: ProbeKit;
  /** The fault of a probe on this device; null if all probes work. */
  readonly probeFailure: string | null;
  readonly settings: MeasureSettings;
  /** Bytes set aside for inputs. On a software adapter they are the machine's own memory. */
  readonly inputBytes: number;
  readonly sampling: Omit<SampleSettings, "maxTimeMs">;
}

/** Bytes set aside for inputs on a software adapter, which uses the machine's own memory. */
export const SOFTWARE_INPUT_BYTES = 2e9;

/**
 * Opens and checks the device, calibrates its clock and warms it up with the probes.
 *
 * @throws {SystemError} in one sentence, if the adapter gives no device or the device is lost.
 */
export async function openSession(
  adapter: OpenedAdapter,
  settings: MeasureSettings,
): Promise<Session> {
  const stamps = settings.timer === "wall" ? [] : ["timestamp-query"];
  const opened = await openCheckedDevice(
    adapter,
    [...stamps, ...VARIANT_FEATURES],
    settings.handOver,
  );
  return await opened.guard.run(() => sessionOn(adapter, opened, settings));
}

async function sessionOn(
  adapter: OpenedAdapter,
  opened: OpenedDevice,
  settings: MeasureSettings,
): Promise<Session> {
  const { device, guard, limits } = opened;
  const { software } = adapter.info;
  const maxBytes = Math.min(limits.maxStorageBufferBindingSize, limits.maxBufferSize, 2 ** 30);
  const probes = await createProbes(
    device,
    powerOfTwo(software ? Math.min(2 ** 24, maxBytes) : maxBytes),
    refusesMatrices(limits) === undefined,
  );
  const timer = await createTimer(device, {
    work: probes.least,
    choice: settings.timer,
    calibrateMs: software ? 100 : 1000,
  });
  // Raise the clock first. Then time one pass over the table, to find how many passes take 300 ms.
  for (const begin = performance.now(); !software && performance.now() - begin < 400;) {
    await timer.time([probes.warm(64)]);
  }
  const beginMs = timer.nowMs();
  const [, us] = await timer.time([probes.warm(4), probes.warm(4)]);
  // If the timer gave no time, half the wall time of both passes is an upper bound for one.
  const fourUs = us ?? (timer.nowMs() - beginMs) * 1000 / 2;
  const passes = Math.max(1, Math.ceil(300_000 / (fourUs / 4)));
  const probeFailure = await checkProbes(device, limits);
  if (probeFailure !== null) await guard.check();
  return {
    device,
    guard,
    facts: adapter.info,
    limits,
    features: opened.features,
    timer,
    notes: [...opened.notes, ...(timer.note === null ? [] : [timer.note])],
    probes,
    probeFailure,
    settings,
    inputBytes: software ? SOFTWARE_INPUT_BYTES : settings.memoryBytes,
    sampling: {
      bestClock: { us: Infinity },
      sampleUs: software ? 1 : 1500,
      minSamples: software ? 6 : 20,
      // Other work shares the CPU, so more samples do not make it quieter.
      noisePct: software ? Infinity : settings.noisePct,
      warm: software ? [] : [probes.warm(passes)],
      clock: software ? null : probes.clock,
      ...(settings.attention ? { attention: settings.attention } : {}),
    },
  };
}

/** The largest power of two up to `limit`. */
function powerOfTwo(limit: number): number {
  return 2 ** Math.floor(Math.log2(limit));
}

/** A variant that is left out, and the reason in a sentence. */
export interface Refusal {
  readonly name: string;
  readonly why: string;
}

/**
 * The variants that can run this problem on this device, and the reason why each other one cannot.
 *
 * @param encode Whether codes are encoded from the keys, as those of a trace are.
 */
export function eligible(
  session: Pick<Session, "features" | "limits">,
  p: Problem,
  variants: readonly Variant[],
  encode = false,
): { able: Variant[]; refused: Refusal[] } {
  const able: Variant[] = [];
  const refused: Refusal[] = [];
  for (const variant of variants) {
    const missing = variant.features.find((feature) => !session.features.has(feature));
    const why = missing
      ? `this device has no ${missing}`
      : refusal(variant, p, session.limits, encode);
    if (why) refused.push({ name: variant.name, why });
    else able.push(variant);
  }
  return { able, refused };
}

/** Why a variant cannot run a problem within a device's limits; undefined if it can. */
function refusal(
  variant: Variant,
  p: Problem,
  limits: DeviceLimits,
  encode: boolean,
): string | undefined {
  const params = variant.defaults(p, limits);
  const why = variant.refuses(p, params, limits);
  if (why) return why;
  try {
    const plan = planOn(variant, p, params, limits);
    checkHolds(plan, limits);
    return refusesInputs(p, plan, params, limits, encode);
  } catch (error) {
    if (error instanceof RangeError) return error.message;
    throw error;
  }
}
