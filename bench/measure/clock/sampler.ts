/**
 * Samples several workloads fairly: on a warm clock, interleaved round by round, with several steps
 * in a timed pass. Fixed work before every sample shows whether the clock was low.
 */
import type { SampleSettings } from "./sample_settings.ts";
import type { RecordPass } from "../../../kernels/core/run/run.ts";
import { planSamples } from "./pilot.ts";
import { median, medianInterval, quantile } from "./statistics.ts";
import type { GpuTimer } from "./gpu_timer.ts";
import { MAX_PASSES } from "./timestamps.ts";

/** Work to be timed. `step` counts up without end, so that inputs can rotate. */
export interface Workload {
  readonly name: string;
  record(pass: GPUComputePassEncoder, step: number): void;
}

/** The samples of one workload. Both lists are empty if the timer gave no time at all. */
export interface Samples {
  readonly stepsPerSample: number;
  /** Microseconds per step of the kept samples. */
  readonly us: number[];
  /** Microseconds per step of the samples taken at a low clock or without attention. */
  readonly droppedUs: number[];
}

/** The clock counts as low when the fixed work took this multiple of its shortest time. */
const LOW_CLOCK = 1.15;
/** The fewest samples that give a 95% interval of the median. They may exceed the time limit. */
export const FEWEST_SAMPLES = 6;
/** A step up to this length gets its fewest samples, however short the time limit is. */
export const LONG_STEP_MS = 1000;
/** Attempts at the fewest samples, since a timer may fail and a clock be low now and then. */
const MAX_ATTEMPTS = 2 * FEWEST_SAMPLES;

const ROUNDS_PER_BATCH = 24;
/** Longest work of one submission. The driver may reset a GPU that works for longer. */
const MAX_SUBMISSION_MS = 2000;

/**
 * Times the workloads in turns and returns their samples in the same order. Sampling ends when the
 * time limit is reached or all intervals are narrow enough. Workloads with some samples, but fewer
 * than {@linkcode FEWEST_SAMPLES}, may exceed the limit by {@linkcode LONG_STEP_MS} for each sample
 * and for two steps of the pilot.
 */
export async function sampleInterleaved(
  timer: GpuTimer,
  workloads: readonly Workload[],
  settings: SampleSettings,
): Promise<Samples[]> {
  const { attention } = settings;
  await attention?.ready();
  const beginMs = timer.nowMs();
  let deadlineMs = beginMs + settings.maxTimeMs;
  const fewestMs = (FEWEST_SAMPLES + 2) * LONG_STEP_MS * workloads.length;
  let lastMs = beginMs + Math.max(settings.maxTimeMs, fewestMs);
  const steps = workloads.map(() => 0);
  const pass = (workload: number, count: number): RecordPass => (encoder) => {
    for (let i = 0; i < count; i++) workloads[workload].record(encoder, steps[workload]++);
  };
  const fittingUs = settings.maxTimeMs * 1000 / (FEWEST_SAMPLES * workloads.length);
  const plan = await planSamples(timer, workloads.length, pass, { ...settings, fittingUs });
  const samples = plan.stepsPerSample.map((stepsPerSample): Samples => (
    { stepsPerSample, us: [], droppedUs: [] }
  ));
  const clocks: number[] = [];
  const taken: Sample[] = [];
  const attempts = workloads.map(() => 0);
  const found = (e: number) => samples[e].us.length + samples[e].droppedUs.length;
  // Dropped samples give no interval, so others are taken in their place.
  const missing = (e: number) => FEWEST_SAMPLES - samples[e].us.length;
  const settled = (e: number) =>
    missing(e) <= 0 && samples[e].us.length >= settings.minSamples &&
    intervalPct(samples[e].us) <= settings.noisePct;
  const lacks = (e: number) => found(e) > 0 && missing(e) > 0 && attempts[e] < MAX_ATTEMPTS;
  // A workload that never gets a time is given up.
  let active = workloads.map((_, e) => e);
  let { roundMs } = plan;

  for (;;) {
    const idleMs = timer.nowMs();
    await attention?.ready();
    const waitedMs = timer.nowMs() - idleMs;
    deadlineMs += waitedMs;
    lastMs += waitedMs;
    const leftMs = deadlineMs - timer.nowMs();
    const batchMs = leftMs > 0 ? Math.min(settings.maxTimeMs / 3, leftMs) : Infinity;
    const wanted = leftMs > 0 ? ROUNDS_PER_BATCH : Math.max(...active.map(missing));
    const passesPerRound = active.length * (plan.clock ? 2 : 1);
    const rounds = Math.max(
      1,
      Math.min(
        wanted,
        Math.floor(MAX_PASSES / passesPerRound),
        Math.floor(Math.min(batchMs, MAX_SUBMISSION_MS) / roundMs),
      ),
    );
    const records: RecordPass[] = [];
    for (let round = 0; round < rounds; round++) {
      for (const e of active) {
        if (plan.clock) records.push(plan.clock.record);
        records.push(pass(e, samples[e].stepsPerSample));
      }
    }
    const sentMs = timer.nowMs();
    const hasLapsed = attention?.watch();
    const times = await timer.time(records, settings.warm);
    const lapsed = hasLapsed?.() ?? false;
    const nowMs = timer.nowMs();
    roundMs = (nowMs - sentMs) / rounds;
    for (let at = 0, i = 0; at < times.length; i++) {
      const workload = active[i % active.length];
      const clockUs = plan.clock ? times[at++] : null;
      const us = times[at++];
      attempts[workload]++;
      if (clockUs !== null && !lapsed) clocks.push(clockUs);
      if (us !== null) taken.push({ workload, us, clockUs, lapsed });
    }
    sort(samples, taken, clocks, plan.clock?.repeats ?? 1, settings.bestClock);
    active = active.filter((e) => found(e) > 0 || attempts[e] < MAX_ATTEMPTS);
    const continues = nowMs < deadlineMs
      ? active.some((e) => !settled(e))
      : nowMs < lastMs && active.some(lacks);
    if (!continues) return samples;
  }
}

/** A timed pass. */
interface Sample {
  readonly workload: number;
  readonly us: number;
  /** Time of the fixed work right before it; null if the timer gave none. */
  readonly clockUs: number | null;
  /** Whether the attention lapsed during it. */
  readonly lapsed: boolean;
}

/** Divides all samples taken so far into kept and dropped ones, by the run's best clock so far. */
function sort(
  samples: readonly Samples[],
  taken: readonly Sample[],
  clocks: readonly number[],
  repeats: number,
  best: { us: number },
): void {
  if (clocks.length) best.us = Math.min(best.us, quantile(clocks, 0.1) / repeats);
  const limitUs = best.us * repeats * LOW_CLOCK;
  for (const s of samples) s.us.length = s.droppedUs.length = 0;
  for (const { workload, us, clockUs, lapsed } of taken) {
    const s = samples[workload];
    const isDropped = lapsed || clockUs !== null && clockUs > limitUs;
    (isDropped ? s.droppedUs : s.us).push(us / s.stepsPerSample);
  }
}

/** Half the width of the median's 95% interval, in percent of the median. */
function intervalPct(us: readonly number[]): number {
  if (us.length < 3) return Infinity;
  const { low, high } = medianInterval(us);
  return (high - low) / 2 / median(us) * 100;
}
