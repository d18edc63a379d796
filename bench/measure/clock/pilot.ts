/**
 * The pilot measures roughly how long a step takes, to decide how many steps make a sample. A
 * coarse clock may give a single step no time at all, and an unreliable clock may fail in the
 * pilot.
 */
import type { RecordPass } from "../../../kernels/core/run/run.ts";
import type { SampleSettings } from "./sample_settings.ts";
import type { GpuTimer } from "./gpu_timer.ts";

/** Work whose steps the pilot times. */
interface PilotSubject {
  /** A pass of `steps` steps. */
  pass(steps: number): RecordPass;
  readonly maxSteps: number;
}

/** A time below this multiple of the timer's resolution is too coarse to plan with. */
const RESOLVED = 8;
const GROWTH = 16;

/**
 * Microseconds per step of each subject. The pilot also compiles and touches everything once. If
 * the clock gives no time, the wall time of the whole submission stands in, which no step can
 * exceed.
 *
 * @param budgetMs Time beyond which passes are not lengthened.
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

  /**
   * Times some subjects. Returns the elapsed time, and an upper bound of their steps' part in it.
   */
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
    const longer = unresolved.filter((i) => steps[i] < subjects[i].maxSteps);
    const nextMs = last.elapsedMs + (GROWTH - 1) * last.stepsMs;
    if (longer.length === 0 || spentMs() + nextMs > budgetMs) break;
    for (const i of longer) steps[i] = Math.min(GROWTH * steps[i], subjects[i].maxSteps);
    last = await measure(longer, []);
  }
  // Steps that used up the budget are not measured a second time on a warm clock.
  if (spentMs() <= budgetMs) await measure(all, warm);
  return stepUs;
}

/**
 * Lengths of a sample and of the fixed work, in multiples of the timer's resolution: its error is
 * then 1% and 3% of them.
 */
export const SAMPLE_RESOLUTIONS = 100;
const CLOCK_RESOLUTIONS = 32;
/**
 * Steps are counted as at least this long: more steps per sample cost the CPU more than they add.
 */
const MIN_STEP_US = 3.75;

/** How the samples of a round are taken. */
export interface SamplePlan {
  readonly stepsPerSample: readonly number[];
  /** The fixed work, repeated until the timer can resolve a low clock; null without fixed work. */
  readonly clock: { readonly record: RecordPass; readonly repeats: number } | null;
  /** Time of a round, by the pilot. */
  readonly roundMs: number;
}

/** Requirements of the samples. */
export interface PlanSettings extends Pick<SampleSettings, "sampleUs" | "clock" | "warm"> {
  /** Longest sample with which the fewest samples of all workloads fit into the time limit. */
  readonly fittingUs: number;
  readonly maxTimeMs: number;
}

/** Decides how many steps make a sample long enough, and how often to repeat the fixed work. */
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
  const maxSteps = (us: number) => Math.max(1, Math.ceil(us / MIN_STEP_US));
  const fixedWork = (repeats: number): RecordPass => (encoder) => {
    for (let i = 0; i < repeats; i++) clock!(encoder);
  };
  const subjects = Array.from({ length: workloads }, (_, e) => ({
    pass: (count: number) => pass(e, count),
    maxSteps: maxSteps(sampleUs),
  }));
  if (clock) subjects.push({ pass: fixedWork, maxSteps: maxSteps(clockUs) });
  const times = await pilot(timer, subjects, { warm, budgetMs: maxTimeMs / 3 });
  const counts = times.map((us, i) => {
    const wantedUs = i < workloads ? sampleUs : clockUs;
    return Math.max(1, Math.min(subjects[i].maxSteps, Math.ceil(wantedUs / us)));
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
