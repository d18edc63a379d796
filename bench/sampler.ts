/**
 * Samples several contenders fairly: on a warm clock, interleaved round by round, several steps to
 * a timed pass, with a fixed-work probe of the clock before every sample. Web APIs only.
 */
import { type GpuTimer, MAX_PASSES, type Record } from "./timer.ts";
import { median, medianInterval, quantile } from "./statistics.ts";

/** Something to be timed; `step` counts up without end, so that inputs can rotate. */
export interface Entrant {
  readonly name: string;
  record(pass: GPUComputePassEncoder, step: number): void;
}

/** When to stop, and how long a sample should be. */
export interface SampleSettings {
  /** Stop when half the 95% interval of every median is below this share of it, in percent. */
  readonly noisePct: number;
  readonly maxTimeMs: number;
  /** Length of a sample: well above the timer's grain and a pass's fixed cost (4 us). */
  readonly sampleUs: number;
  readonly minSamples: number;
  /** Untimed work submitted right before each batch of samples. */
  readonly warm: readonly Record[];
  /** Fixed work that shows the clock; null where a clock means nothing (software). */
  readonly clock: Record | null;
  /** Most steps of a sample. */
  readonly maxSteps: number;
  /** The shortest time that the fixed work took in this run; samples lower it. */
  readonly bestClock: { us: number };
}

/** The samples of one entrant. */
export interface Samples {
  readonly stepsPerSample: number;
  /** Microseconds per step, kept samples. */
  readonly us: number[];
  /** Microseconds per step, samples taken at a low clock. */
  readonly droppedUs: number[];
}

/** A sample counts as taken at a low clock when the fixed work took this much longer than at best. */
const LOW_CLOCK = 1.15;
/** Fewer have no 95% interval of the median: taken whatever the time limit is. */
export const FEWEST_SAMPLES = 6;
const ROUNDS_PER_BATCH = 24;

/** Times the entrants against each other. The result stands in the order of `entrants`. */
export async function sampleInterleaved(
  timer: GpuTimer,
  entrants: readonly Entrant[],
  settings: SampleSettings,
): Promise<Samples[]> {
  const steps = entrants.map(() => 0);
  const pass = (entrant: number, count: number): Record => (encoder) => {
    for (let i = 0; i < count; i++) entrants[entrant].record(encoder, steps[entrant]++);
  };
  const { samples, roundUs } = await pilot(timer, entrants, settings, pass);
  const clocks: number[] = [];
  const taken: { entrant: number; us: number; clockUs: number }[] = [];

  const deadline = performance.now() + settings.maxTimeMs;
  const perRound = entrants.length * (settings.clock ? 2 : 1);
  const roundMs = roundUs / 1000;
  const rounds = Math.max(
    1,
    Math.min(
      ROUNDS_PER_BATCH,
      Math.floor(MAX_PASSES / perRound),
      Math.ceil(settings.maxTimeMs / 3 / roundMs),
    ),
  );
  do {
    const records: Record[] = [];
    for (let round = 0; round < rounds; round++) {
      for (let e = 0; e < entrants.length; e++) {
        if (settings.clock) records.push(settings.clock);
        records.push(pass(e, samples[e].stepsPerSample));
      }
    }
    const times = await timer.time(records, settings.warm);
    for (let at = 0, i = 0; at < times.length; i++) {
      const clockUs = settings.clock ? times[at++] : NaN;
      const us = times[at++];
      if (Number.isFinite(clockUs)) clocks.push(clockUs);
      if (Number.isFinite(us)) taken.push({ entrant: i % entrants.length, us, clockUs });
    }
    sort(samples, taken, clocks, settings.bestClock);
  } while (
    samples.some((s) => s.us.length + s.droppedUs.length < FEWEST_SAMPLES) ||
    performance.now() < deadline &&
      samples.some((s) =>
        s.us.length < settings.minSamples || intervalPct(s.us) > settings.noisePct
      )
  );
  return samples;
}

/** Sorts all samples taken so far into kept and dropped, by the best clock of the run so far. */
function sort(
  samples: readonly Samples[],
  taken: readonly { entrant: number; us: number; clockUs: number }[],
  clocks: readonly number[],
  best: { us: number },
): void {
  if (clocks.length) best.us = Math.min(best.us, quantile(clocks, 0.1));
  const limitUs = best.us * LOW_CLOCK;
  for (const s of samples) s.us.length = s.droppedUs.length = 0;
  for (const { entrant, us, clockUs } of taken) {
    const s = samples[entrant];
    (clockUs > limitUs ? s.droppedUs : s.us).push(us / s.stepsPerSample);
  }
}

/** Half the 95% interval of the median, in percent of it. */
function intervalPct(us: readonly number[]): number {
  if (us.length < 3) return Infinity;
  const { low, high } = medianInterval(us);
  return (high - low) / 2 / median(us) * 100;
}

/** Finds how many steps make a sample long enough, with everything compiled and touched once. */
async function pilot(
  timer: GpuTimer,
  entrants: readonly Entrant[],
  settings: SampleSettings,
  pass: (entrant: number, count: number) => Record,
): Promise<{ samples: Samples[]; roundUs: number }> {
  const short = entrants.map((_, e) => pass(e, 1));
  await timer.time(short);
  const singles = await timer.time(short, settings.warm);
  let roundUs = 0;
  const samples = entrants.map((_, e) => {
    const stepUs = Math.max(0.5, singles[e] || 1);
    const stepsPerSample = Math.max(
      1,
      Math.min(settings.maxSteps, Math.ceil(settings.sampleUs / stepUs)),
    );
    roundUs += stepUs * stepsPerSample;
    return { stepsPerSample, us: [], droppedUs: [] };
  });
  return { samples, roundUs };
}
