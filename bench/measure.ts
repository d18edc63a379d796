/** Measures a case: every contender checked, then timed against the others, then checked again. */
import type { Stage } from "../kernels/contender.ts";
import type { Verdict } from "../kernels/judge.ts";
import { kvBytes } from "../kernels/problem.ts";
import type { BenchCase } from "./cases.ts";
import { eligible, type MeasureContext } from "./context.ts";
import { type Contestant, prepare } from "./contestant.ts";
import { InputSets } from "./inputs.ts";
import type { ResultRow, SampleRecord } from "./row.ts";
import { type GatheredRows, probeRows, rowMaker, rowsOf } from "./row_maker.ts";
import { sampleInterleaved, type Samples } from "./sampler.ts";
import { median } from "./statistics.ts";
import { traceInputs } from "./trace_case.ts";

/** Measures one case; rows are handed over as soon as they are final. */
export async function measureCase(
  context: MeasureContext,
  benchCase: BenchCase,
  onRow: (row: ResultRow, samples: SampleRecord | null) => Promise<void> | void,
): Promise<void> {
  const { device, facts, limits, settings, timer } = context;
  const { problem: p, contenders } = benchCase;
  const { able, refused } = eligible(context, p, contenders);
  for (const { name, why } of refused) settings.onProgress(`${name} left out: ${why}`, 0);

  const hot = settings.hot || facts.software;
  const inputs = new InputSets(device, p, {
    limits,
    seed: settings.seed,
    budgetBytes: facts.software ? 2e9 : settings.memoryBytes,
    unroll: !facts.software,
    ...(benchCase.trace ? traceInputs(benchCase.trace, p, settings.seed) : {}),
  });
  const ready: { contestant: Contestant; verdict: Verdict }[] = [];
  try {
    const total = able.length + 1;
    const ceilings = await context.probes.measure(
      { ...context.sampling, maxTimeMs: settings.maxTimeMs / 4 },
      [p.headDim * kvBytes(p.dtype)],
    );
    for (const [i, probe] of probeRows(context, benchCase, ceilings).entries()) {
      await onRow(probe, record(probe, ceilings.results[i].samples));
    }
    const row = rowMaker(context, benchCase, ceilings);
    // Contenders of a stage pick alike: one that lists its picks tells the rows of all.
    const rows = new Map<Stage, GatheredRows>();
    for (const [i, contender] of able.entries()) {
      settings.onProgress(`${benchCase.name}: checking ${contender.name}`, i / total);
      const params = contender.defaults(p, limits);
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
    if (ready.length === 0) return;

    settings.onProgress(`${benchCase.name}: timing ${ready.length} kernels`, able.length / total);
    const samples = await sampleInterleaved(timer, ready.map((r) => r.contestant), {
      ...context.sampling,
      maxTimeMs: settings.maxTimeMs,
    });
    const verdicts: Verdict[] = [];
    for (const { contestant, verdict } of ready) {
      // First what the timed steps themselves left, then a step of another set on poison.
      const after = [await contestant.judgeLast(), await contestant.verify(contestant.sets - 1)];
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
  } finally {
    for (const { contestant } of ready) contestant.destroy();
    inputs.destroy();
  }
}

/** The raw samples of a row; none where it failed. */
function record({ case_id, kernel, params, verified }: ResultRow, samples: Samples): SampleRecord {
  const [us, dropped_us] = verified ? [samples.us, samples.droppedUs] : [[], []];
  return { case_id, kernel, params, us, dropped_us };
}
