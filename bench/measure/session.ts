/** What a run measures with: the device, its timer and its probes. */
import type { DeviceLimits, Variant } from "../../kernels/core/variant.ts";
import type { Problem } from "../../kernels/core/problem.ts";
import type { Tuning } from "../../kernels/core/tuning.ts";
import {
  type HandOverChoice,
  openCheckedDevice,
  type OpenedDevice,
} from "./device/checked_device.ts";
import type { DeviceGuard } from "./device/device_loss.ts";
import { checkHolds } from "../../kernels/core/device_memory.ts";
import type { AdapterFacts, OpenedAdapter } from "./device/adapter.ts";
import { refusesInputs } from "./inputs/input_makers.ts";
import { checkProbes } from "./probe_check.ts";
import { createProbes, type ProbeKit } from "./probes.ts";
import type { SampleSettings } from "./clock/sampler.ts";
import { createTimer, type GpuTimer, type TimerChoice } from "./clock/timer.ts";

/** Settings of a run. */
export interface MeasureSettings {
  readonly hot: boolean;
  /** Stop when half the 95% interval of each median is below this, in percent of it (GPUs only). */
  readonly noisePct: number;
  /** Most time to sample one case, in milliseconds. */
  readonly maxTimeMs: number;
  readonly timer: TimerChoice;
  /** How partials are handed over (default: `auto`). */
  readonly handOver?: HandOverChoice;
  readonly seed: number;
  /** Most bytes of inputs held on a GPU; fewer sets, so less cold, where they do not suffice. */
  readonly memoryBytes: number;
  readonly suiteVersion: string;
  readonly commit: string;
  /** Parameters that were tuned; without it all kernels run with their defaults. */
  readonly tuning?: Tuning;
  readonly onProgress: (message: string, fraction: number) => void;
}

/** A device with its timer and probes, open for a run. */
export interface Session {
  readonly device: GPUDevice;
  /** Tells a loss of the device from what work on it found. */
  readonly guard: DeviceGuard;
  readonly facts: AdapterFacts;
  readonly limits: DeviceLimits;
  readonly features: ReadonlySet<string>;
  readonly timer: GpuTimer;
  /** Sentences on what the device lacks or failed. */
  readonly notes: readonly string[];
  readonly probes: ProbeKit;
  /** What is wrong with the probes on this device; null if nothing is. */
  readonly probeFailure: string | null;
  readonly settings: MeasureSettings;
  /** Bytes set aside for inputs: of a software adapter they are the machine's own. */
  readonly inputBytes: number;
  readonly sampling: Omit<SampleSettings, "maxTimeMs">;
}

/** Bytes of inputs on a software adapter, whose memory is the machine's own. */
export const SOFTWARE_INPUT_BYTES = 2e9;

/**
 * Opens the device, calibrates its clock and warms the probes up.
 *
 * @throws {SystemError} in one sentence, if the adapter gives no device or it is lost.
 */
export async function openSession(
  host: OpenedAdapter,
  settings: MeasureSettings,
): Promise<Session> {
  const stamps = settings.timer === "wall" ? [] : ["timestamp-query"];
  const opened = await openCheckedDevice(host, [...stamps, "subgroups"], settings.handOver);
  return await opened.guard.run(() => contextOf(host, opened, settings));
}

async function contextOf(
  host: OpenedAdapter,
  opened: OpenedDevice,
  settings: MeasureSettings,
): Promise<Session> {
  const { device, guard, limits } = opened;
  const { software } = host.info;
  const most = Math.min(limits.maxStorageBufferBindingSize, limits.maxBufferSize, 2 ** 30);
  const probes = await createProbes(
    device,
    powerOfTwo(software ? Math.min(2 ** 24, most) : most),
  );
  const timer = await createTimer(device, {
    work: probes.least,
    choice: settings.timer,
    calibrateMs: software ? 100 : 1000,
  });
  // On a clock that is awake, one pass over the table tells how many of them last for 300 ms.
  for (const begin = performance.now(); !software && performance.now() - begin < 400;) {
    await timer.time([probes.warm(64)]);
  }
  const beginMs = timer.nowMs();
  const [, us] = await timer.time([probes.warm(4), probes.warm(4)]);
  // Without a time of its own, a pass took at most half of what both took with all around them.
  const fourUs = us ?? (timer.nowMs() - beginMs) * 1000 / 2;
  const passes = Math.max(1, Math.ceil(300_000 / (fourUs / 4)));
  const probeFailure = await checkProbes(device);
  if (probeFailure !== null) await guard.check();
  return {
    device,
    guard,
    facts: host.info,
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
      // A CPU that other work shares gets no quieter with time.
      noisePct: software ? Infinity : settings.noisePct,
      warm: software ? [] : [probes.warm(passes)],
      clock: software ? null : probes.clock,
    },
  };
}

/** The largest power of two up to `most`. */
function powerOfTwo(most: number): number {
  return 2 ** Math.floor(Math.log2(most));
}

/** A kernel that is left out, and why in a sentence. */
export interface Refusal {
  readonly name: string;
  readonly why: string;
}

/**
 * Variants that this device and problem allow, and why the others may not run.
 *
 * @param encode Codes are made from the keys, as those of a trace are.
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
    const plan = variant.plan(p, params);
    checkHolds(plan, limits);
    return refusesInputs(p, plan, params, limits, encode);
  } catch (error) {
    if (error instanceof RangeError) return error.message;
    throw error;
  }
}
