/** Measures candidates: each is checked, then all are timed against each other. */
import type { Contender, Params } from "../../../kernels/core/contender.ts";
import type { Verdict } from "../../../kernels/verify/judge.ts";
import type { MeasureContext } from "../../measure/context.ts";
import { type Contestant, prepare } from "../../measure/contestant.ts";
import { DeviceMemoryError } from "../../measure/device/device_memory.ts";
import type { InputSets } from "../../measure/inputs/inputs.ts";
import { SAMPLE_RESOLUTIONS } from "../../measure/clock/pilot.ts";
import {
  type Entrant,
  FEWEST_SAMPLES,
  sampleInterleaved,
  type SampleSettings,
} from "../../measure/clock/sampler.ts";
import { median, medianInterval } from "../../measure/clock/statistics.ts";
import {
  failed,
  type Measured,
  type Phase,
  type TuneMessage,
  type Unmeasured,
} from "../../tuning/messages.ts";

/** When a phase has samples enough; a final goes by the noise too. */
const SAMPLES: Readonly<Record<Phase, { readonly least: number; readonly mostMs: number }>> = {
  explore: { least: 6, mostMs: 800 },
  round: { least: 12, mostMs: 1200 },
  final: { least: 20, mostMs: 1900 },
};

/** Longer steps are timed once in the first round: six of each candidate would take seconds. */
const LONG_STEP_US = 20_000;

/** Least milliseconds between two signs of life of a candidate that is being sampled. */
const BEAT_MS = 500;

/** Milliseconds that the fewest samples of steps take, with two to find how many steps make one. */
export function samplingMs(us: number): number {
  return (FEWEST_SAMPLES + 2) * us / 1000;
}

/** What measuring candidates takes. */
export interface CandidateBench {
  readonly context: MeasureContext;
  readonly inputs: InputSets;
  readonly contender: Contender;
  readonly noisePct: number;
  readonly say: (message: TuneMessage) => void;
  readonly keep: (measured: Measured) => void;
  /** Of a candidate nothing is known, through no fault of its own. */
  readonly leave: (unmeasured: Unmeasured) => void;
  /** The time to try new candidates is over. */
  readonly late: () => boolean;
}

/**
 * Checks each candidate, then times those that are right against each other; what comes of each is
 * handed over at once.
 *
 * @throws {SystemError} if the device fails: that says nothing about the candidates.
 */
export async function measureTogether(
  bench: CandidateBench,
  candidates: readonly Params[],
  phase: Phase,
): Promise<void> {
  const { context, say, keep, leave } = bench;
  const ready: Contestant[] = [];
  try {
    for (const [i, params] of candidates.entries()) {
      // Those that are ready are still timed; the others stay untried.
      if (phase === "explore" && i > 0 && bench.late()) break;
      say({ type: "trying", candidates: [params] });
      const contestant = await prepareRight(bench, params, phase);
      if (typeof contestant === "string") keep(failed(params, contestant));
      else {
        const once = phase === "explore" ? await measureIfLong(context, contestant) : null;
        if (once === null) ready.push(contestant);
        else keep(once);
      }
    }
    if (ready.length === 0) return;
    say({ type: "trying", candidates: ready.map(({ params }) => params) });
    const settings = settingsOf(context, phase, bench.noisePct);
    const all = await sampleInterleaved(
      context.timer,
      ready.map((each) => beating(each, say)),
      settings,
    );
    for (const [i, contestant] of ready.entries()) {
      const { params } = contestant;
      const { us, droppedUs } = all[i];
      // What the timed steps of a finalist left is judged as a benchmark would.
      const wrong = phase === "final" ? await whatFailed(bench, contestant.judgeLast()) : null;
      if (wrong !== null) keep(failed(params, wrong));
      else if (us.length === 0) {
        const why = droppedUs.length > 0
          ? "all samples were taken at a low clock"
          : "the timer gave no time for it";
        leave({ params, why });
      } else {
        const [samples, failure] = [us.length, null];
        keep({ phase, params, us: median(us), ...medianInterval(us), samples, failure });
      }
    }
  } finally {
    for (const contestant of ready) contestant.destroy();
  }
}

/**
 * One step on a warm clock if it is a long one, for which a first round needs no more; the
 * contestant is freed then. Null for a short one.
 */
async function measureIfLong(
  { timer, sampling }: MeasureContext,
  contestant: Contestant,
): Promise<Measured | null> {
  const { params } = contestant;
  const step = (pass: GPUComputePassEncoder) => contestant.record(pass, 0);
  const [cold] = await timer.time([step]);
  // A step that the clock cannot tell from none is a short one; sampling repeats it.
  if (cold === null || cold <= LONG_STEP_US) return null;
  // It may have been the clock that was low.
  const [us] = await timer.time([step], sampling.warm);
  if (us === null || us <= LONG_STEP_US) return null;
  contestant.destroy();
  return { phase: "explore", params, us, low: us, high: us, samples: 1, failure: null };
}

/** A contestant that gives a sign of life whenever its steps are recorded, but not too often. */
function beating({ name, record }: Contestant, say: (message: TuneMessage) => void): Entrant {
  let saidMs = performance.now();
  return {
    name,
    record(pass, step) {
      record(pass, step);
      if (performance.now() - saidMs < BEAT_MS) return;
      saidMs = performance.now();
      say({ type: "beat" });
    },
  };
}

/** A candidate that is right, or in a few words what is wrong with it. */
async function prepareRight(
  bench: CandidateBench,
  params: Params,
  phase: Phase,
): Promise<Contestant | string> {
  const { context, inputs, contender } = bench;
  let contestant: Contestant;
  try {
    contestant = await prepare(inputs, contender, params, context.facts.software);
  } catch (error) {
    const { name, message } = error as Error;
    // Memory that others hold, and a device that is gone, are no faults of a candidate.
    if (error instanceof DeviceMemoryError) throw error;
    await context.guard.check();
    return message.split("\n")[0] || name;
  }
  // After the first round it is known to be right, and a final is judged when it was timed.
  const wrong = phase === "explore" ? await whatFailed(bench, contestant.verify(0)) : null;
  if (wrong === null) return contestant;
  contestant.destroy();
  return wrong;
}

/** What a verdict blames a candidate for; null if nothing. A device that is lost is not its fault. */
async function whatFailed(
  { context }: CandidateBench,
  verdict: Promise<Verdict>,
): Promise<string | null> {
  const { ok, checked, worst } = await verdict;
  if (ok) return null;
  await context.guard.check();
  return worst ? `${worst.what}: got ${worst.got}, want ${worst.want}` : checked;
}

function settingsOf(
  { sampling, facts, timer }: MeasureContext,
  phase: Phase,
  noise: number,
): SampleSettings {
  const { least, mostMs } = SAMPLES[phase];
  const final = phase === "final";
  // A coarse clock wants longer samples.
  const longer = facts.software
    ? 1
    : Math.max(1, SAMPLE_RESOLUTIONS * timer.resolutionUs / sampling.sampleUs);
  return {
    ...sampling,
    minSamples: facts.software ? sampling.minSamples : least,
    maxTimeMs: mostMs * longer,
    noisePct: final && !facts.software ? noise : Infinity,
  };
}
