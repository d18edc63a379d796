/** Makes the rows of a case out of verdicts and samples. */
import { costBytes } from "../kernels/contender.ts";
import type { Verdict } from "../kernels/judge.ts";
import { codeHeads, kvBytes, type Problem, windowsOf } from "../kernels/problem.ts";
import { type BenchCase, mapName } from "./cases.ts";
import type { MeasureContext } from "./context.ts";
import type { Contestant } from "./contestant.ts";
import { type Ceilings, floorUs, gbytesPerS } from "./probes.ts";
import type { ResultRow } from "./row.ts";
import type { Samples } from "./sampler.ts";
import { median, medianInterval, noisePct } from "./statistics.ts";

/** A function that makes the rows of one case. */
export function rowMaker(
  context: MeasureContext,
  benchCase: BenchCase,
  ceilings: Ceilings,
  hot: boolean,
) {
  const { facts, settings, timer } = context;
  const p = benchCase.problem;
  const windows = windowsOf(p, p.kvLen);
  const k = "count" in p.topK ? p.topK.count : Math.floor(p.kvLen / p.topK.sparsity);
  return (
    { contender, params, plan, cost, sets }: Contestant,
    verdict: Verdict,
    samples: Samples | null,
    bestDenseUs: number | null,
    rows: { rows: number; unique: number } | null,
  ): ResultRow => {
    const timed = verdict.ok && samples && samples.us.length > 0;
    const us = timed ? median(samples.us) : null;
    const interval = timed ? medianInterval(samples.us) : null;
    const floor = floorUs(ceilings, cost, plan.dispatches.length, p.headDim * kvBytes(p.dtype));
    const compared = contender.stage === "dense" || contender.stage === "pipeline";
    return {
      utc: new Date().toISOString(),
      suite_version: settings.suiteVersion,
      commit: settings.commit,
      ...facts,
      case_id: benchCase.caseId,
      kernel: contender.name,
      stage: contender.stage,
      batch: p.batch,
      q_heads: p.qHeads,
      kv_heads: p.kvHeads,
      head_dim: p.headDim,
      kv_len: p.kvLen,
      dtype: p.dtype,
      bits: p.bits,
      code_sharing: p.sharing,
      map: mapName(p),
      k,
      selected: windows.kEff,
      sink: p.sink,
      recent: p.recent,
      rows: rows?.rows ?? null,
      unique_rows: rows?.unique ?? null,
      params: JSON.stringify(params),
      workgroup: params.WORKGROUP ?? null,
      cache: hot ? "hot" : "cold",
      timer: timer.kind,
      steps_per_sample: samples?.stepsPerSample ?? 0,
      sets,
      touched_bytes: costBytes(cost),
      median_us: us,
      ci_low_us: interval?.low ?? null,
      ci_high_us: interval?.high ?? null,
      noise_pct: timed ? noisePct(samples.us) : null,
      samples: timed ? samples.us.length : 0,
      dropped: samples?.droppedUs.length ?? 0,
      bytes: costBytes(cost),
      gbytes_per_s: us ? gbytesPerS(cost, us) : null,
      dispatches: plan.dispatches.length,
      floor_us: floor,
      roofline_pct: us ? floor / us * 100 : null,
      speedup_vs_dense: us && bestDenseUs && compared ? bestDenseUs / us : null,
      ns_per_tick: timer.nsPerTick,
      rel_l2_err: verdict.relL2,
      verified: verdict.ok,
      failure: verdict.ok ? "" : failureOf(verdict),
    };
  };
}

/** Rows of K that a step's lists request, and how many distinct ones; null where nothing is listed. */
export async function rowsOf(
  contestant: Contestant,
  p: Problem,
): Promise<{ rows: number; unique: number } | null> {
  const spec = contestant.plan.buffers.selected;
  if (!spec || contestant.cost.gatherBytes === 0) return null;
  const lists = new Uint32Array((await contestant.read("selected", 0)).buffer);
  const perList = lists.length / (p.batch * codeHeads(p));
  const { attended } = windowsOf(p, p.kvLen);
  const perKvHead = codeHeads(p) / p.kvHeads;
  let unique = 0;
  for (let kvHead = 0; kvHead < p.batch * p.kvHeads; kvHead++) {
    const seen = new Set<number>();
    for (let list = kvHead * perKvHead; list < (kvHead + 1) * perKvHead; list++) {
      for (const token of lists.subarray(list * perList, list * perList + attended)) {
        seen.add(token);
      }
    }
    unique += seen.size;
  }
  return { rows: p.batch * codeHeads(p) * attended, unique };
}

function failureOf({ checked, worst }: Verdict): string {
  if (!worst) return checked;
  return `${worst.what} at [${worst.index.join(", ")}]: got ${worst.got}, want ${worst.want}`;
}
