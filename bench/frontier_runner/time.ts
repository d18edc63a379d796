/** Times the steps of a method at one KV length, in turns with dense attention. */
import { costBytes, type Variant } from "../../kernels/core/variant.ts";
import { CompileError } from "../../kernels/core/run/program.ts";
import type { Problem } from "../../kernels/core/problem/problem.ts";
import { fastest } from "../base/fastest.ts";
import { chooseParams } from "../cases/tuned_choice.ts";
import { FEWEST_SAMPLES, sampleInterleaved, type Samples } from "../measure/clock/sampler.ts";
import { median, medianInterval } from "../measure/clock/statistics.ts";
import { InputSets } from "../measure/inputs/inputs.ts";
import { prepare, type PreparedVariant } from "../measure/prepared_variant.ts";
import type { Session } from "../measure/session.ts";
import type { FrontierMethod } from "./methods.ts";
import { denseVariants, type Step, variantsOf } from "./steps.ts";
import { withBudget } from "./with_budget.ts";

/** The time of a step. */
export interface StepTime {
  readonly kernel: string;
  /** Least bytes that it must move. */
  readonly bytes: number;
  readonly us: number | null;
  readonly usLow: number | null;
  readonly usHigh: number | null;
  readonly samples: number;
  readonly sets: number;
}

/** The times of a method at one KV length. */
export interface MethodTimes {
  /** One for each step; null if all its variants failed. */
  readonly steps: readonly (StepTime | null)[];
  readonly dense: StepTime | null;
  /** What checks found wrong. */
  readonly failures: readonly string[];
}

/**
 * Multiply-adds of a check's reference: one list of a long cache, several of a short one. Each step is
 * also checked on all lists of a trace.
 */
const CHECK_BUDGET = 8e6;

/** Milliseconds of the trial that chooses among the variants of a method. */
const TRIAL_MS = 60;

/** A variant on the problem of a step; `step` is null for dense attention. */
interface Entrant {
  readonly step: number | null;
  readonly prepared: PreparedVariant;
}

/**
 * Times every step with the variants that a trial at the smallest and the largest budget found
 * fastest. Each is verified before and after.
 *
 * @param onProgress Called with the share of the checks that is done.
 * @throws {RangeError} in one sentence, if the device cannot hold or run the step.
 */
export async function timeMethod(
  session: Session,
  method: FrontierMethod,
  steps: readonly Step[],
  onProgress: (fraction: number) => void = () => {},
): Promise<MethodTimes> {
  const { device, facts, guard, limits, sampling, settings, timer } = session;
  const [{ problem }] = steps;
  const rotation = { ...settings, hot: settings.hot || facts.software };
  const inputs = new InputSets(device, problem, {
    limits,
    seed: settings.seed,
    budgetBytes: session.inputBytes,
    unroll: !facts.software,
    checkBudget: CHECK_BUDGET,
  });
  const entrants: Entrant[] = [];
  const failures = new Set<string>();
  const sources = steps.map(({ problem }) => withBudget(inputs, problem));
  const enter = async (variant: Variant, step: number | null): Promise<Entrant | null> => {
    const source = sources[step ?? 0];
    const { params } = await chooseParams({ facts, limits, ...settings }, variant, source.problem);
    try {
      return { step, prepared: await prepare(source, variant, params, rotation) };
    } catch (error) {
      if (!(error instanceof CompileError)) throw error;
      await guard.check();
      failures.add(error.message.split("\n")[0]);
      return null;
    }
  };
  try {
    const wanted = await chosen(session, steps, enter, {
      ofStep: (p) => variantsOf(session, method, p),
      ofDense: denseVariants(session, problem),
    });
    for (const [i, { variant, step }] of wanted.entries()) {
      onProgress(i / wanted.length);
      const entrant = await enter(variant, step);
      if (entrant === null) continue;
      const check = await entrant.prepared.verify(0);
      if (check.ok) entrants.push(entrant);
      else {
        await guard.check();
        failures.add(failureOf(entrant, check.checked, steps));
        entrant.prepared.destroy();
      }
    }
    onProgress(1);
    for (const { prepared } of entrants) prepared.poison();
    const samples = await sampleInterleaved(timer, entrants.map(({ prepared }) => prepared), {
      ...sampling,
      maxTimeMs: settings.maxTimeMs,
    });
    const times: { readonly step: number | null; readonly time: StepTime }[] = [];
    for (const [i, entrant] of entrants.entries()) {
      const { prepared } = entrant;
      // The outputs that the timed steps left, of another set than the first check's if there are
      // several.
      const after = await prepared.verifyLast();
      if (after.ok) {
        times.push({ step: entrant.step, time: timeOf(prepared, samples[i]) });
      } else {
        await guard.check();
        failures.add(failureOf(entrant, after.checked, steps));
      }
    }
    const best = (step: number | null) =>
      fastest(times.filter((each) => each.step === step), ({ time }) => time.us ?? Infinity)
        ?.time ??
        null;
    return { steps: steps.map((_, i) => best(i)), dense: best(null), failures: [...failures] };
  } finally {
    for (const { prepared } of entrants) prepared.destroy();
    inputs.destroy();
  }
}

/**
 * The variants to time at each step, and those of dense attention. Where a device can run several,
 * a short trial at the smallest and the largest budget chooses; its times are not kept.
 */
async function chosen(
  session: Session,
  steps: readonly Step[],
  enter: (variant: Variant, step: number | null) => Promise<Entrant | null>,
  { ofStep, ofDense }: {
    readonly ofStep: (p: Problem) => readonly Variant[];
    readonly ofDense: readonly Variant[];
  },
): Promise<{ readonly variant: Variant; readonly step: number | null }[]> {
  const able = steps.map(({ problem }) => ofStep(problem));
  const names = new Set<string>();
  for (const step of new Set([0, steps.length - 1])) {
    names.add(await fastestIn(session, able[step], (variant) => enter(variant, step)));
  }
  const dense = await fastestIn(session, ofDense, (variant) => enter(variant, null));
  const ofSteps = able.flatMap((variants, step) => {
    const winners = variants.filter(({ name }) => names.has(name));
    return (winners.length > 0 ? winners : variants.slice(0, 1))
      .map((variant) => ({ variant, step }));
  });
  return [
    ...ofDense.filter(({ name }) => name === dense).map((variant) => ({ variant, step: null })),
    ...ofSteps,
  ];
}

/** The name of the variant that a trial finds fastest. */
async function fastestIn(
  { sampling, timer }: Session,
  variants: readonly Variant[],
  enter: (variant: Variant) => Promise<Entrant | null>,
): Promise<string> {
  if (variants.length <= 1) return variants[0]?.name ?? "";
  const entrants: Entrant[] = [];
  try {
    for (const variant of variants) {
      const entrant = await enter(variant);
      if (entrant !== null) entrants.push(entrant);
    }
    const samples = await sampleInterleaved(timer, entrants.map(({ prepared }) => prepared), {
      ...sampling,
      warm: [],
      clock: null,
      minSamples: FEWEST_SAMPLES,
      noisePct: Infinity,
      maxTimeMs: TRIAL_MS,
    });
    const usOf = (i: number) => samples[i].us.length > 0 ? median(samples[i].us) : Infinity;
    const winner = fastest([...entrants.keys()], usOf);
    return winner === undefined ? variants[0].name : entrants[winner].prepared.name;
  } finally {
    for (const { prepared } of entrants) prepared.destroy();
  }
}

function timeOf({ name, cost, sets }: PreparedVariant, { us }: Samples): StepTime {
  const interval = us.length >= FEWEST_SAMPLES ? medianInterval(us) : null;
  return {
    kernel: name,
    bytes: costBytes(cost),
    us: us.length > 0 ? median(us) : null,
    usLow: interval?.low ?? null,
    usHigh: interval?.high ?? null,
    samples: us.length,
    sets,
  };
}

function failureOf({ step, prepared }: Entrant, checked: string, steps: readonly Step[]): string {
  const { problem, budget } = steps[step ?? 0];
  const at = step === null || budget === null ? "" : `, k = N/${budget}`;
  return `${prepared.name} at ${problem.kvLen} tokens${at}: ${checked}`;
}

/** The bytes that the steps of a method move, for a device whose times say nothing. */
export function untimed(
  session: Session,
  method: FrontierMethod,
  steps: readonly Step[],
): MethodTimes {
  const { limits } = session;
  const costOf = (variant: Variant, p: Problem): StepTime => ({
    kernel: variant.name,
    bytes: costBytes(variant.cost(p, variant.defaults(p, limits))),
    us: null,
    usLow: null,
    usHigh: null,
    samples: 0,
    sets: 1,
  });
  const [{ problem }] = steps;
  const [dense] = denseVariants(session, problem);
  return {
    steps: steps.map(({ problem: p }) => costOf(variantsOf(session, method, p)[0], p)),
    dense: costOf(dense, problem),
    failures: [],
  };
}
