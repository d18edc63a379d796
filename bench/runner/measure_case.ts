/** Measures a case: verifies every variant, times them in turns, and verifies them again. */
import type { Stage, Variant } from "../../kernels/core/variant.ts";
import type { CheckResult } from "../../kernels/verify/verify.ts";
import { planOn } from "../../kernels/core/pieces.ts";
import { CompileError, compilePlan } from "../../kernels/core/run/program.ts";
import { kvBytes } from "../../kernels/core/problem/derived.ts";
import type { Problem } from "../../kernels/core/problem/problem.ts";
import type { BenchCase } from "../cases/cases.ts";
import { type Roofline, rooflineOf, rooflineUs } from "../measure/roofline.ts";
import { eligible, type Refusal, type Session } from "../measure/session.ts";
import { prepare, type PreparedVariant, PROMPT_STAGES } from "../measure/prepared_variant.ts";
import { counted } from "../base/counted.ts";
import { InputSets } from "../measure/inputs/inputs.ts";
import { keptProbes, sameConditions, splitReusable, type Wanted } from "./kept_rows.ts";
import type { ResultRow, SampleRecord } from "../results/row.ts";
import {
  bestDenseUs,
  cacheOf,
  type GatheredRows,
  probeRows,
  rowMaker,
  rowsOf,
} from "./row_maker.ts";
import { sampleInterleaved, type Samples } from "../measure/clock/sampler.ts";
import type { SampleSettings } from "../measure/clock/sample_settings.ts";
import { median } from "../measure/clock/statistics.ts";
import { tooLong } from "./step_limit.ts";
import type { GpuTimer } from "../measure/clock/gpu_timer.ts";
import { traceInputs } from "./trace_case.ts";
import { chooseParams } from "../cases/tuned_choice.ts";

/** The timer gave no time for a probe, on which everything else depends. */
export class NoTimeError extends Error {
  /** Name of the error class. */
  override readonly name = "NoTimeError";
}

/** Receives the results of a case while it is measured. */
export interface CaseListener {
  /** New rows with their raw samples, as soon as they are final. */
  onRows(rows: readonly ResultRow[], samples: readonly SampleRecord[]): void;
  /** Rows of an earlier run that are kept instead of new ones. */
  onKept(rows: readonly ResultRow[]): void;
  /** A kernel runs with tuned parameters, or its tuned parameters are stale. */
  onTuned(note: string): void;
}

/**
 * Measures the kernels of one case that have no reusable rows.
 *
 * @param earlier The latest rows of earlier runs of this code.
 * @returns the kernels that were left out because a step would take too long, the timer gave no time
 * or the device has no room for them.
 * @throws {NoTimeError} one sentence, if the timer gave no time for a probe.
 */
export async function measureCase(
  session: Session,
  benchCase: BenchCase,
  earlier: readonly ResultRow[],
  listener: CaseListener,
): Promise<Refusal[]> {
  const { device, facts, guard, limits, settings, timer } = session;
  const { problem: p, variants } = benchCase;
  const { able: allowed, refused } = eligible(session, p, variants, !!benchCase.trace);
  for (const { name, why } of refused) settings.onProgress(`${name} left out: ${why}`, 0);

  const reusable = sameConditions(earlier, session, benchCase);
  const roofline = await caseRoofline(session, benchCase, reusable, listener);
  const slow = tooSlow(session, p, roofline, allowed);
  for (const { name, why } of slow) settings.onProgress(`${name} left out: ${why}`, 0);
  const able = allowed.filter(({ name }) => slow.every((each) => each.name !== name));
  const wanted: Wanted[] = [];
  for (const variant of able) {
    const { params, note } = await chooseParams({ facts, limits, ...settings }, variant, p);
    if (note) listener.onTuned(`${variant.name}: ${note}`);
    wanted.push({ variant, params });
  }
  const { kept, missing } = splitReusable(reusable, wanted);
  listener.onKept(kept);
  const leftOut = [...slow];
  if (missing.length === 0) return leftOut;

  const rotation = { ...settings, hot: settings.hot || facts.software };
  const inputs = new InputSets(device, p, {
    limits,
    seed: settings.seed,
    budgetBytes: session.inputBytes,
    unroll: !facts.software,
    ...(benchCase.trace
      ? traceInputs(benchCase.trace, p, { ...benchCase, seed: settings.seed })
      : {}),
  });
  const ready: { prepared: PreparedVariant; checkResult: CheckResult }[] = [];
  try {
    const total = missing.length + 1;
    settings.onProgress(`${benchCase.name}: compiling ${counted(missing.length, "kernel")}`, 0);
    await compileAll(session, p, missing);
    const row = rowMaker(session, benchCase, roofline);
    // All variants of a stage select the same tokens, so one variant's list gives the rows of all.
    // Other systems select by rules of their own; their rows are not counted.
    const gathered = new Map(
      kept.flatMap(({ stage, rows, unique_rows: unique }) =>
        rows === null || unique === null || stage === "rival"
          ? []
          : [[stage, { rows, unique }] as [Stage, GatheredRows]]
      ),
    );
    for (const [i, { variant, params }] of missing.entries()) {
      settings.onProgress(`${benchCase.name}: checking ${variant.name}`, i / total);
      const made = await orRefusal(variant, () => prepare(inputs, variant, params, rotation));
      if (made instanceof CompileError) {
        await guard.check();
        const subject = {
          variant,
          params,
          plan: planOn(variant, p, params, limits),
          cost: variant.cost(p, params),
          sets: 0,
          wantedSets: 0,
          touched: 0,
        };
        const fault = { ok: false, relL2: null, worst: null, checked: firstLine(made.message) };
        listener.onRows([row(subject, fault, null, null, null)], []);
        continue;
      }
      if ("why" in made) {
        leftOut.push(made);
        continue;
      }
      const prepared = made;
      const checkResult = await prepared.verify(0);
      if (checkResult.ok) {
        ready.push({ prepared, checkResult });
        const found = variant.stage === "rival" ? null : await rowsOf(prepared, p);
        if (found) gathered.set(variant.stage, found);
      } else {
        await guard.check();
        listener.onRows([row(prepared, checkResult, null, null, null)], []);
        prepared.destroy();
      }
    }
    if (ready.length === 0) return leftOut;

    settings.onProgress(
      `${benchCase.name}: timing ${counted(ready.length, "kernel")}`,
      missing.length / total,
    );
    for (const { prepared } of ready) prepared.poison();
    const samples = await sampleByPhase(timer, ready.map((r) => r.prepared), {
      ...session.sampling,
      maxTimeMs: settings.maxTimeMs,
    });
    const checkResults: CheckResult[] = [];
    for (const { prepared, checkResult } of ready) {
      // Verify the outputs that the timed steps left, then a step on poison, of another set if there
      // are several.
      const after = [await prepared.verifyLast(), await prepared.verify(1)];
      const worse = (a: CheckResult, b: CheckResult) => !a.ok || a.relL2 > b.relL2 ? a : b;
      checkResults.push(
        after.reduce((worst, next) => worst.ok ? worse(next, worst) : worst, checkResult),
      );
    }
    if (checkResults.some(({ ok }) => !ok)) await guard.check();
    const dense = ready.flatMap(({ prepared }, i) =>
      prepared.variant.stage === "dense" && checkResults[i].ok && samples[i].us.length
        ? [{ cache: cacheOf(prepared), us: median(samples[i].us) }]
        : []
    );
    // A failed check always gives a row. A correct kernel without any time gives none.
    const hasRow = ready.map((_, i) => !checkResults[i].ok || hasTimes(samples[i]));
    const samplesOfRows = samples.filter((_, i) => hasRow[i]);
    const rows = ready.flatMap(({ prepared }, i) => {
      const found = gathered.get(prepared.variant.stage) ?? null;
      const denseUs = bestDenseUs(dense, cacheOf(prepared));
      return hasRow[i] ? [row(prepared, checkResults[i], samples[i], denseUs, found)] : [];
    });
    listener.onRows(rows, rows.map((each, i) => record(each, samplesOfRows[i])));
    settings.onProgress(`${benchCase.name}: done`, 1);
    const untimed = ready.filter((_, i) => !hasRow[i]).map(({ prepared: { name } }) => (
      { name, why: noTime(timer) }
    ));
    return [...leftOut, ...untimed];
  } finally {
    for (const { prepared } of ready) prepared.destroy();
    inputs.destroy();
  }
}

/** Compiles all at once, since some implementations of WebGPU compile on several threads. */
async function compileAll(
  { device, facts, limits }: Session,
  p: Problem,
  wanted: readonly Wanted[],
): Promise<void> {
  // What fails here is reported when its kernel is prepared, which finds all others compiled.
  await Promise.allSettled(wanted.map(async ({ variant, params }) => {
    const plan = planOn(variant, p, params, limits);
    await compilePlan(device, plan, { unroll: !facts.software });
  }));
}

/**
 * Runs `make`. A lack of memory or a failed compilation is returned, not thrown, so that it does
 * not stop the other variants.
 */
async function orRefusal<T>(
  { name }: Variant,
  make: () => Promise<T>,
): Promise<T | Refusal | CompileError> {
  try {
    return await make();
  } catch (error) {
    if (error instanceof RangeError) return { name, why: error.message };
    if (error instanceof CompileError) return error;
    throw error;
  }
}

/** The first line of a compiler's message. The source code follows it. */
function firstLine(message: string): string {
  return message.trim().split("\n")[0];
}

/** The reason why a kernel has no time. */
function noTime({ kind }: GpuTimer): string {
  return kind === "timestamp"
    ? "this device's timestamps gave no time for it; --timer wall goes without them"
    : "it is too short for the wall clock";
}

function hasTimes({ us, droppedUs }: Samples): boolean {
  return us.length + droppedUs.length > 0;
}

/** The roofline of a case: from kept rows of probes if there are any, else measured now. */
async function caseRoofline(
  session: Session,
  benchCase: BenchCase,
  reusable: readonly ResultRow[],
  listener: CaseListener,
): Promise<Roofline> {
  const { probes, sampling, settings, timer } = session;
  const { headDim, dtype } = benchCase.problem;
  const rowBytes = headDim * kvBytes(dtype);
  const kept = keptProbes(reusable, probes.names(rowBytes));
  if (kept !== null) {
    listener.onKept(kept);
    return rooflineOf(kept.map(({ kernel: name, bytes, params, median_us }) => (
      { name, bytes, operations: JSON.parse(params), us: median_us! }
    )));
  }
  const limited = { ...sampling, maxTimeMs: settings.maxTimeMs / 4 };
  const results = await probes.measure(timer, limited, rowBytes);
  const untimed = results.find(({ samples }) => !hasTimes(samples));
  if (untimed) throw new NoTimeError(`${untimed.name}: ${noTime(timer)}`);
  const rows = probeRows(session, benchCase, results);
  listener.onRows(rows, rows.map((row, i) => record(row, results[i].samples)));
  return rooflineOf(results.map(({ samples: { us, droppedUs }, ...probe }) => (
    { ...probe, us: median(us.length > 0 ? us : droppedUs) }
  )));
}

/**
 * Samples the kernels of a decode step apart from those of the prompt phase, whose steps are
 * thousands of times longer: in turns with them a decode step would get few samples. The two phases
 * share the time limit.
 */
async function sampleByPhase(
  timer: GpuTimer,
  preparedVariants: readonly PreparedVariant[],
  settings: SampleSettings,
): Promise<Samples[]> {
  const phases = Map.groupBy(preparedVariants, (c) => PROMPT_STAGES.includes(c.variant.stage));
  const maxTimeMs = settings.maxTimeMs / phases.size;
  const found = new Map<PreparedVariant, Samples>();
  for (const phase of phases.values()) {
    const samples = await sampleInterleaved(timer, phase, { ...settings, maxTimeMs });
    for (const [i, prepared] of phase.entries()) found.set(prepared, samples[i]);
  }
  return preparedVariants.map((prepared) => found.get(prepared)!);
}

/** The variants whose steps take too long on this device, judged by their rooflines. */
function tooSlow(
  { facts: { software }, limits, settings: { maxTimeMs } }: Session,
  p: Problem,
  roofline: Roofline,
  variants: readonly Variant[],
): Refusal[] {
  return variants.flatMap((variant) => {
    const params = variant.defaults(p, limits);
    const { dispatches } = planOn(variant, p, params, limits);
    const leastUs = rooflineUs(roofline, variant.cost(p, params), dispatches.length);
    const why = tooLong(leastUs, p.kvLen, { software, maxTimeMs });
    return why ? [{ name: variant.name, why }] : [];
  });
}

/** The raw samples of a row; empty if its check failed. */
function record(
  { utc, case_id, kernel, params, verified }: ResultRow,
  samples: Samples,
): SampleRecord {
  const [us, dropped_us] = verified ? [samples.us, samples.droppedUs] : [[], []];
  return { utc, case_id, kernel, params, us, dropped_us };
}
