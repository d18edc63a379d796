/** Measures a case: every contender checked, then timed against the others, then checked again. */
import type { Contender, Stage } from "../kernels/contender.ts";
import type { Verdict } from "../kernels/judge.ts";
import { kvBytes, type Problem } from "../kernels/problem.ts";
import type { BenchCase } from "./cases.ts";
import { eligible, type MeasureContext, type Refusal } from "./context.ts";
import { type Contestant, prepare, PROMPT_STAGES } from "./contestant.ts";
import { InputSets } from "./inputs.ts";
import { type Ceilings, floorUs } from "./probes.ts";
import type { ResultRow, SampleRecord } from "./row.ts";
import { type GatheredRows, probeRows, rowMaker, rowsOf } from "./row_maker.ts";
import { sampleInterleaved, type Samples, type SampleSettings } from "./sampler.ts";
import { median } from "./statistics.ts";
import { tooLong } from "./step_limit.ts";
import type { GpuTimer } from "./timer.ts";
import { traceInputs } from "./trace_case.ts";
import { chooseParams } from "./tuned_choice.ts";

/**
 * Measures one case; rows are handed over as soon as they are final.
 *
 * @param onTuned Told of each kernel that runs with tuned parameters, or whose were stale.
 * @returns the kernels that were left out because a step would take too long.
 */
export async function measureCase(
  context: MeasureContext,
  benchCase: BenchCase,
  onRow: (row: ResultRow, samples: SampleRecord | null) => Promise<void> | void,
  onTuned: (note: string) => void = () => {},
): Promise<Refusal[]> {
  const { device, facts, limits, settings, timer } = context;
  const { problem: p, contenders } = benchCase;
  const { able: allowed, refused } = eligible(context, p, contenders);
  for (const { name, why } of refused) settings.onProgress(`${name} left out: ${why}`, 0);

  const hot = settings.hot || facts.software;
  const inputs = new InputSets(device, p, {
    limits,
    seed: settings.seed,
    budgetBytes: facts.software ? 2e9 : settings.memoryBytes,
    unroll: !facts.software,
    ...(benchCase.trace
      ? traceInputs(benchCase.trace, p, { ...benchCase, seed: settings.seed })
      : {}),
  });
  const ready: { contestant: Contestant; verdict: Verdict }[] = [];
  try {
    const ceilings = await context.probes.measure(
      { ...context.sampling, maxTimeMs: settings.maxTimeMs / 4 },
      [p.headDim * kvBytes(p.dtype)],
    );
    for (const [i, probe] of probeRows(context, benchCase, ceilings).entries()) {
      await onRow(probe, record(probe, ceilings.results[i].samples));
    }
    const slow = slowOnes(context, p, ceilings, allowed);
    for (const { name, why } of slow) settings.onProgress(`${name} left out: ${why}`, 0);
    const able = allowed.filter(({ name }) => slow.every((each) => each.name !== name));
    const total = able.length + 1;
    const row = rowMaker(context, benchCase, ceilings);
    // Contenders of a stage pick alike: one that lists its picks tells the rows of all.
    const rows = new Map<Stage, GatheredRows>();
    for (const [i, contender] of able.entries()) {
      settings.onProgress(`${benchCase.name}: checking ${contender.name}`, i / total);
      const { params, note } = await chooseParams({ facts, limits, ...settings }, contender, p);
      if (note) onTuned(`${contender.name}: ${note}`);
      const contestant = await prepare(inputs, contender, params, hot);
      const verdict = await contestant.verify(0);
      if (verdict.ok) {
        ready.push({ contestant, verdict });
        const found = await rowsOf(contestant, p);
        if (found) rows.set(contender.stage, found);
      } else {
        await onRow(row(contestant, verdict, null, null, null), null);
        contestant.destroy();
      }
    }
    if (ready.length === 0) return slow;

    settings.onProgress(`${benchCase.name}: timing ${ready.length} kernels`, able.length / total);
    const samples = await sampleByPhase(timer, ready.map((r) => r.contestant), {
      ...context.sampling,
      maxTimeMs: settings.maxTimeMs,
    });
    const verdicts: Verdict[] = [];
    for (const { contestant, verdict } of ready) {
      // First what the timed steps themselves left, then a step of another set on poison.
      const after = [await contestant.judgeLast(), await contestant.verify(1)];
      const worse = (a: Verdict, b: Verdict) => !a.ok || a.relL2 > b.relL2 ? a : b;
      verdicts.push(after.reduce((worst, next) => worst.ok ? worse(next, worst) : worst, verdict));
    }
    const dense = ready.flatMap(({ contestant }, i) =>
      contestant.contender.stage === "dense" && verdicts[i].ok && samples[i].us.length
        ? [median(samples[i].us)]
        : []
    );
    const bestDenseUs = dense.length ? Math.min(...dense) : null;
    for (const [i, { contestant }] of ready.entries()) {
      const gathered = rows.get(contestant.contender.stage) ?? null;
      const result = row(contestant, verdicts[i], samples[i], bestDenseUs, gathered);
      await onRow(result, record(result, samples[i]));
    }
    settings.onProgress(`${benchCase.name}: done`, 1);
    return slow;
  } finally {
    for (const { contestant } of ready) contestant.destroy();
    inputs.destroy();
  }
}

/**
 * Samples the kernels of a decode step and those of the prompt phase each against their own kind:
 * between steps that are thousands of times longer, a decode step would get few samples. Both share
 * the time.
 */
async function sampleByPhase(
  timer: GpuTimer,
  contestants: readonly Contestant[],
  settings: SampleSettings,
): Promise<Samples[]> {
  const phases = Map.groupBy(contestants, (c) => PROMPT_STAGES.includes(c.contender.stage));
  const maxTimeMs = settings.maxTimeMs / phases.size;
  const found = new Map<Contestant, Samples>();
  for (const phase of phases.values()) {
    const samples = await sampleInterleaved(timer, phase, { ...settings, maxTimeMs });
    for (const [i, contestant] of phase.entries()) found.set(contestant, samples[i]);
  }
  return contestants.map((contestant) => found.get(contestant)!);
}

/** Contenders whose steps take too long on this device, by their floors. */
function slowOnes(
  { facts: { software }, limits, settings: { maxTimeMs } }: MeasureContext,
  p: Problem,
  ceilings: Ceilings,
  contenders: readonly Contender[],
): Refusal[] {
  return contenders.flatMap((contender) => {
    const params = contender.defaults(p, limits);
    const { dispatches } = contender.plan(p, params);
    const rowBytes = p.headDim * kvBytes(p.dtype);
    const floor = floorUs(ceilings, contender.cost(p, params), dispatches.length, rowBytes);
    const why = tooLong(floor, p.kvLen, { software, maxTimeMs });
    return why ? [{ name: contender.name, why }] : [];
  });
}

/** The raw samples of a row; none where it failed. */
function record({ case_id, kernel, params, verified }: ResultRow, samples: Samples): SampleRecord {
  const [us, dropped_us] = verified ? [samples.us, samples.droppedUs] : [[], []];
  return { case_id, kernel, params, us, dropped_us };
}
