/**
 * The pilot of a sampling: how long a step takes, and so how many steps make a sample. A coarse clock
 * sees no time at all in a single step, and one that fails now and then may fail here.
 */
import type { RecordPass } from "../../../kernels/core/run.ts";
import type { SampleSettings } from "./sampler.ts";
import type { GpuTimer } from "./timer.ts";

/** Something whose steps are to be timed. */
interface PilotSubject {
  /** A pass of so many steps. */
  pass(steps: number): RecordPass;
  readonly mostSteps: number;
}

/** A time of fewer than so many times the timer's resolution is too coarse to plan with. */
const RESOLVED = 8;
const GROWTH = 16;

/**
 * Microseconds of a step of each subject, with everything compiled and touched once. Where the
 * clock gives no time, this is the wall time of the whole submission, which no step can exceed.
 *
 * @param budgetMs Passes are not lengthened beyond this time.
 */
async function pilot(
  timer: GpuTimer,
  subjects: readonly PilotSubject[],
  { warm, budgetMs }: { readonly warm: readonly RecordPass[]; readonly budgetMs: number },
): Promise<number[]> {
  const beginMs = timer.nowMs();
  const spentMs = () => timer.nowMs() - beginMs;
  const steps = subjects.map(() => 1);
  const stepUs = subjects.map(() => Infinity);
  let unresolved: number[] = [];

  /** Times some subjects. Returns what it took, and how much of that at most was their steps. */
  async function measure(which: readonly number[], before: readonly RecordPass[]) {
    const sentMs = timer.nowMs();
    const times = await timer.time(which.map((i) => subjects[i].pass(steps[i])), before);
    const elapsedMs = timer.nowMs() - sentMs;
    let stepsMs = 0;
    for (const [at, i] of which.entries()) {
      const us = times[at];
      const longestUs = elapsedMs * 1000;
      stepUs[i] = us === null ? Math.min(stepUs[i], longestUs / steps[i]) : us / steps[i];
      stepsMs += (us ?? longestUs) / 1000;
    }
    unresolved = which.filter((_, at) => (times[at] ?? 0) < RESOLVED * timer.resolutionUs);
    return { elapsedMs, stepsMs: Math.min(stepsMs, elapsedMs) };
  }

  const all = subjects.map((_, i) => i);
  let last = await measure(all, []);
  for (;;) {
    const longer = unresolved.filter((i) => steps[i] < subjects[i].mostSteps);
    const nextMs = last.elapsedMs + (GROWTH - 1) * last.stepsMs;
    if (longer.length === 0 || spentMs() + nextMs > budgetMs) break;
    for (const i of longer) steps[i] = Math.min(GROWTH * steps[i], subjects[i].mostSteps);
    last = await measure(longer, []);
  }
  // Steps that have taken so long need no second look on a warm clock.
  if (spentMs() <= budgetMs) await measure(all, warm);
  return stepUs;
}

/** Lengths in multiples of the timer's resolution, which make its error 1% and 3% of them. */
export const SAMPLE_RESOLUTIONS = 100;
const CLOCK_RESOLUTIONS = 32;
/** More steps than so long ones make of a sample cost the CPU more than they add. */
const LEAST_STEP_US = 3.75;

/** How the samples of a round are taken. */
export interface SamplePlan {
  readonly stepsPerSample: readonly number[];
  /** The fixed work, as often as the timer can tell a low clock by; null without one. */
  readonly clock: { readonly record: RecordPass; readonly repeats: number } | null;
  /** What a round takes by the pilot. */
  readonly roundMs: number;
}

/** What samples have to be like. */
export interface PlanSettings extends Pick<SampleSettings, "sampleUs" | "clock" | "warm"> {
  /** Longest sample by which the fewest samples of all workloads fit into the time limit. */
  readonly fittingUs: number;
  readonly maxTimeMs: number;
}

/** Finds how many steps make a sample long enough, and how often the fixed work is repeated. */
export async function planSamples(
  timer: GpuTimer,
  workloads: number,
  pass: (workload: number, count: number) => RecordPass,
  { sampleUs: usualUs, fittingUs, clock, warm, maxTimeMs }: PlanSettings,
): Promise<SamplePlan> {
  const { resolutionUs } = timer;
  const sampleUs = Math.min(
    Math.max(usualUs, SAMPLE_RESOLUTIONS * resolutionUs),
    Math.max(fittingUs, RESOLVED * resolutionUs),
  );
  const clockUs = CLOCK_RESOLUTIONS * resolutionUs;
  const mostSteps = (us: number) => Math.max(1, Math.ceil(us / LEAST_STEP_US));
  const fixedWork = (repeats: number): RecordPass => (encoder) => {
    for (let i = 0; i < repeats; i++) clock!(encoder);
  };
  const subjects = Array.from({ length: workloads }, (_, e) => ({
    pass: (count: number) => pass(e, count),
    mostSteps: mostSteps(sampleUs),
  }));
  if (clock) subjects.push({ pass: fixedWork, mostSteps: mostSteps(clockUs) });
  const times = await pilot(timer, subjects, { warm, budgetMs: maxTimeMs / 3 });
  const counts = times.map((us, i) => {
    const wantedUs = i < workloads ? sampleUs : clockUs;
    return Math.max(1, Math.min(subjects[i].mostSteps, Math.ceil(wantedUs / us)));
  });
  const roundUs = times.slice(0, workloads).reduce(
    (sum, us, e) => sum + us * counts[e] + (clock ? times[workloads] * counts[workloads] : 0),
    0,
  );
  return {
    stepsPerSample: counts.slice(0, workloads),
    clock: clock && { record: fixedWork(counts[workloads]), repeats: counts[workloads] },
    roundMs: roundUs / 1000,
  };
}
