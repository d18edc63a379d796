/** Measures candidates: each is verified, then all are timed against each other. */
import type { Params } from "../../../kernels/core/problem/constants.ts";
import type { Variant } from "../../../kernels/core/variant.ts";
import type { CheckResult } from "../../../kernels/verify/verify.ts";
import type { Session } from "../../measure/session.ts";
import { prepare, type PreparedVariant } from "../../measure/prepared_variant.ts";
import { DeviceMemoryError } from "../../../kernels/core/run/device_memory.ts";
import type { InputSets } from "../../measure/inputs/inputs.ts";
import { SAMPLE_RESOLUTIONS } from "../../measure/clock/pilot.ts";
import { FEWEST_SAMPLES, sampleInterleaved, type Workload } from "../../measure/clock/sampler.ts";
import type { SampleSettings } from "../../measure/clock/sample_settings.ts";
import { median, medianInterval } from "../../measure/clock/statistics.ts";
import {
  failed,
  type Measured,
  type Phase,
  type TuneMessage,
  type Unmeasured,
} from "../../tuning/messages.ts";

/** The samples and the time of each phase; the final phase also goes by the noise. */
const SAMPLES: Readonly<Record<Phase, { readonly least: number; readonly mostMs: number }>> = {
  explore: { least: 6, mostMs: 800 },
  final: { least: 20, mostMs: 3100 },
};

/** Longer steps are timed once in the first phase, since six samples would take seconds. */
const LONG_STEP_US = 20_000;

/** The least milliseconds between two `beat` messages while candidates are sampled. */
const BEAT_MS = 500;

/** Milliseconds of the fewest samples, plus two steps that find how many steps a sample needs. */
export function samplingMs(us: number): number {
  return (FEWEST_SAMPLES + 2) * us / 1000;
}

/** The session, inputs and callbacks for measuring candidates. */
export interface CandidateBench {
  readonly session: Session;
  readonly inputs: InputSets;
  readonly variant: Variant;
  readonly noisePct: number;
  readonly send: (message: TuneMessage) => void;
  readonly onMeasured: (measured: Measured) => void;
  /** Called for a candidate that could not be measured through no fault of its own. */
  readonly onUnmeasured: (unmeasured: Unmeasured) => void;
  /** Whether the time to try new candidates is over. */
  readonly isLate: () => boolean;
}

/**
 * Verifies each candidate, then times the right ones against each other. Reports each result at
 * once.
 *
 * @throws {SystemError} if the device fails, which is not the fault of a candidate.
 */
export async function measureTogether(
  bench: CandidateBench,
  candidates: readonly Params[],
  phase: Phase,
): Promise<void> {
  const { session, send, onMeasured, onUnmeasured } = bench;
  const ready: PreparedVariant[] = [];
  try {
    for (const [i, params] of candidates.entries()) {
      // The ready candidates are still timed; the others stay untried.
      if (phase === "explore" && i > 0 && bench.isLate()) break;
      send({ type: "trying", candidates: [params] });
      const prepared = await prepareRight(bench, params, phase);
      if (typeof prepared === "string") onMeasured(failed(params, prepared));
      else {
        const once = phase === "explore" ? await measureIfLong(session, prepared) : null;
        if (once === null) ready.push(prepared);
        else onMeasured(once);
      }
    }
    if (ready.length === 0) return;
    send({ type: "trying", candidates: ready.map(({ params }) => params) });
    const settings = settingsOf(session, phase, bench.noisePct);
    for (const prepared of ready) prepared.poison();
    const all = await sampleInterleaved(
      session.timer,
      ready.map((each) => withBeats(each, send)),
      settings,
    );
    for (const [i, prepared] of ready.entries()) {
      const { params } = prepared;
      const { us, droppedUs } = all[i];
      // Like the benchmark, this verifies the results that the timed steps left.
      const wrong = phase === "final" ? await whatFailed(bench, prepared.verifyLast()) : null;
      if (wrong !== null) onMeasured(failed(params, wrong));
      else if (us.length === 0) {
        const why = droppedUs.length > 0
          ? "all samples were taken at a low clock"
          : "the timer gave no time for it";
        onUnmeasured({ params, why });
      } else {
        const [samples, failure] = [us.length, null];
        onMeasured({ phase, params, us: median(us), ...medianInterval(us), samples, failure });
      }
    }
  } finally {
    for (const prepared of ready) prepared.destroy();
  }
}

/**
 * Times one step on a warm clock if the step is long; the first phase needs no more of it, so that
 * the candidate's resources are freed. Returns null for a short step.
 */
async function measureIfLong(
  { timer, sampling }: Session,
  prepared: PreparedVariant,
): Promise<Measured | null> {
  const { params } = prepared;
  const step = (pass: GPUComputePassEncoder) => prepared.record(pass, 0);
  const [cold] = await timer.time([step]);
  // A step too short for the clock is short; sampling repeats it.
  if (cold === null || cold <= LONG_STEP_US) return null;
  // The step may have seemed long only because the GPU's clock was low.
  const [us] = await timer.time([step], sampling.warm);
  if (us === null || us <= LONG_STEP_US) return null;
  prepared.destroy();
  return { phase: "explore", params, us, low: us, high: us, samples: 1, failure: null };
}

/** A workload that sends a `beat` when its steps are recorded, but not too often. */
function withBeats(
  { name, record }: PreparedVariant,
  send: (message: TuneMessage) => void,
): Workload {
  let sentMs = performance.now();
  return {
    name,
    record(pass, step) {
      record(pass, step);
      if (performance.now() - sentMs < BEAT_MS) return;
      sentMs = performance.now();
      send({ type: "beat" });
    },
  };
}

/** A prepared candidate that is right, or its failure in a few words. */
async function prepareRight(
  bench: CandidateBench,
  params: Params,
  phase: Phase,
): Promise<PreparedVariant | string> {
  const { session, inputs, variant } = bench;
  let prepared: PreparedVariant;
  try {
    prepared = await prepare(inputs, variant, params, {
      ...session.settings,
      hot: session.facts.software,
    });
  } catch (error) {
    const { name, message } = error as Error;
    // A lack of device memory and a lost device are not the fault of a candidate.
    if (error instanceof DeviceMemoryError) throw error;
    await session.guard.check();
    return message.split("\n")[0] || name;
  }
  // A finalist was verified in the first phase, and is verified again after it was timed.
  const wrong = phase === "explore" ? await whatFailed(bench, prepared.verify(0)) : null;
  if (wrong === null) return prepared;
  prepared.destroy();
  return wrong;
}

/** The failure in a check result, or null. Throws if the device is lost: no candidate's fault. */
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
  // A coarse clock needs longer samples.
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
