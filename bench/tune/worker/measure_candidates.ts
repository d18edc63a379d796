/** Measures candidates: each is checked, then all are timed against each other. */
import type { Params, Variant } from "../../../kernels/core/variant.ts";
import type { CheckResult } from "../../../kernels/verify/verify.ts";
import type { Session } from "../../measure/session.ts";
import { prepare, type PreparedVariant } from "../../measure/prepared_variant.ts";
import { DeviceMemoryError } from "../../../kernels/core/device_memory.ts";
import type { InputSets } from "../../measure/inputs/inputs.ts";
import { SAMPLE_RESOLUTIONS } from "../../measure/clock/pilot.ts";
import {
  FEWEST_SAMPLES,
  sampleInterleaved,
  type SampleSettings,
  type Workload,
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
  final: { least: 20, mostMs: 3100 },
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
  readonly session: Session;
  readonly inputs: InputSets;
  readonly variant: Variant;
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
  const { session, say, keep, leave } = bench;
  const ready: PreparedVariant[] = [];
  try {
    for (const [i, params] of candidates.entries()) {
      // Those that are ready are still timed; the others stay untried.
      if (phase === "explore" && i > 0 && bench.late()) break;
      say({ type: "trying", candidates: [params] });
      const prepared = await prepareRight(bench, params, phase);
      if (typeof prepared === "string") keep(failed(params, prepared));
      else {
        const once = phase === "explore" ? await measureIfLong(session, prepared) : null;
        if (once === null) ready.push(prepared);
        else keep(once);
      }
    }
    if (ready.length === 0) return;
    say({ type: "trying", candidates: ready.map(({ params }) => params) });
    const settings = settingsOf(session, phase, bench.noisePct);
    const all = await sampleInterleaved(
      session.timer,
      ready.map((each) => beating(each, say)),
      settings,
    );
    for (const [i, prepared] of ready.entries()) {
      const { params } = prepared;
      const { us, droppedUs } = all[i];
      // What the timed steps of a finalist left is verified as a benchmark would.
      const wrong = phase === "final" ? await whatFailed(bench, prepared.verifyLast()) : null;
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
    for (const prepared of ready) prepared.destroy();
  }
}

/**
 * One step on a warm clock if it is a long one, for which a first round needs no more; the
 * prepared is freed then. Null for a short one.
 */
async function measureIfLong(
  { timer, sampling }: Session,
  prepared: PreparedVariant,
): Promise<Measured | null> {
  const { params } = prepared;
  const step = (pass: GPUComputePassEncoder) => prepared.record(pass, 0);
  const [cold] = await timer.time([step]);
  // A step that the clock cannot tell from none is a short one; sampling repeats it.
  if (cold === null || cold <= LONG_STEP_US) return null;
  // It may have been the clock that was low.
  const [us] = await timer.time([step], sampling.warm);
  if (us === null || us <= LONG_STEP_US) return null;
  prepared.destroy();
  return { phase: "explore", params, us, low: us, high: us, samples: 1, failure: null };
}

/** A prepared that gives a sign of life whenever its steps are recorded, but not too often. */
function beating({ name, record }: PreparedVariant, say: (message: TuneMessage) => void): Workload {
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
): Promise<PreparedVariant | string> {
  const { session, inputs, variant } = bench;
  let prepared: PreparedVariant;
  try {
    prepared = await prepare(inputs, variant, params, session.facts.software);
  } catch (error) {
    const { name, message } = error as Error;
    // Memory that others hold, and a device that is gone, are no faults of a candidate.
    if (error instanceof DeviceMemoryError) throw error;
    await session.guard.check();
    return message.split("\n")[0] || name;
  }
  // After the first round it is known to be right, and a final is verified when it was timed.
  const wrong = phase === "explore" ? await whatFailed(bench, prepared.verify(0)) : null;
  if (wrong === null) return prepared;
  prepared.destroy();
  return wrong;
}

/** What a check result blames a candidate for; null if nothing. A device that is lost is not its fault. */
async function whatFailed(
  { session }: CandidateBench,
  checkResult: Promise<CheckResult>,
): Promise<string | null> {
  const { ok, checked, worst } = await checkResult;
  if (ok) return null;
  await session.guard.check();
  return worst ? `${worst.what}: got ${worst.got}, want ${worst.want}` : checked;
}

function settingsOf(
  { sampling, facts, timer }: Session,
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
