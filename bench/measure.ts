/** Measures a case: every contender checked, then timed against the others, then checked again. */
import { type Contender, costBytes, type DeviceLimits } from "../kernels/contender.ts";
import { codeHeads, kvBytes, type Problem, windowsOf } from "../kernels/problem.ts";
import type { Trace } from "../fixtures/trace.ts";
import { type Contestant, prepare } from "./contestant.ts";
import { type AdapterFacts, type HostAdapter, openDevice, subgroupSizes } from "./host.ts";
import { InputSets } from "./inputs.ts";
import { type Ceilings, createProbes, floorUs, gbytesPerS, type ProbeKit } from "./probes.ts";
import type { ResultRow, SampleRecord } from "./row.ts";
import { sampleInterleaved, type Samples, type SampleSettings } from "./sampler.ts";
import { median, medianInterval, noisePct } from "./statistics.ts";
import { createTimer, type GpuTimer } from "./timer.ts";
import { traceInputs } from "./trace_case.ts";
import type { Verdict } from "../kernels/judge.ts";

/** Settings of a run. */
export interface MeasureSettings {
  readonly hot: boolean;
  /** Stop when half the 95% interval of each median is below this, in percent of it. */
  readonly noisePct: number;
  /** Most time to sample one case, in milliseconds. */
  readonly maxTimeMs: number;
  readonly seed: number;
  readonly suiteVersion: string;
  readonly commit: string;
  readonly onProgress: (message: string, fraction: number) => void;
  readonly stopped: () => boolean;
}

/** A device with its timer and probes, open for a run. */
export interface MeasureContext {
  readonly device: GPUDevice;
  readonly facts: AdapterFacts;
  readonly limits: DeviceLimits;
  readonly features: ReadonlySet<string>;
  readonly timer: GpuTimer;
  readonly probes: ProbeKit;
  readonly settings: MeasureSettings;
  readonly sampling: Omit<SampleSettings, "noisePct" | "maxTimeMs">;
}

/** One problem to measure. */
export interface BenchCase {
  readonly name: string;
  readonly caseId: string;
  readonly problem: Problem;
  /** Real keys, values and queries in place of hashed ones. */
  readonly trace?: Trace;
}

/** Bytes that must be touched between reuses for a cache to be called cold. */
const COLD_BYTES = 256e6;

/** Opens the device, calibrates its clock and warms the probes up. */
export async function openContext(
  host: HostAdapter,
  settings: MeasureSettings,
): Promise<MeasureContext> {
  const { device, features } = await openDevice(host.adapter, ["timestamp-query", "subgroups"]);
  const sizes = subgroupSizes(host.adapter);
  const limits = limitsOf(device, features.has("subgroups") ? sizes?.min : undefined);
  const { software } = host.info;
  const timer = await createTimer(device, software ? 100 : 1000);
  const probes = await createProbes(device, timer, software ? 1 << 24 : 1 << 30);
  // One pass over the table tells how many of them warm the clock for 300 ms.
  const [once] = (await timer.time([probes.warm(4), probes.warm(4)])).slice(1);
  const passes = Math.max(1, Math.ceil(300_000 / (once / 4 || 1000)));
  return {
    device,
    facts: host.info,
    limits,
    features,
    timer,
    probes,
    settings,
    sampling: {
      sampleUs: software ? 1 : timer.kind === "wall" ? 50_000 : 1500,
      minSamples: software ? 5 : 20,
      warm: software ? [] : [probes.warm(passes)],
      clock: software ? null : probes.clock,
      stopped: settings.stopped,
    },
  };
}

/** What of a device bounds a plan. */
export function limitsOf(device: GPUDevice, subgroupMinSize?: number): DeviceLimits {
  const { limits } = device;
  return {
    maxStorageBufferBindingSize: limits.maxStorageBufferBindingSize,
    maxBufferSize: limits.maxBufferSize,
    maxComputeWorkgroupStorageSize: limits.maxComputeWorkgroupStorageSize,
    maxComputeInvocationsPerWorkgroup: limits.maxComputeInvocationsPerWorkgroup,
    maxComputeWorkgroupSizeX: limits.maxComputeWorkgroupSizeX,
    maxComputeWorkgroupsPerDimension: limits.maxComputeWorkgroupsPerDimension,
    maxStorageBuffersPerShaderStage: limits.maxStorageBuffersPerShaderStage,
    ...(subgroupMinSize === undefined ? {} : { subgroupMinSize }),
  };
}

/** Contenders that this device and problem allow, and why the others may not run. */
export function eligible(
  context: Pick<MeasureContext, "features" | "limits">,
  p: Problem,
  contenders: readonly Contender[],
): { able: Contender[]; refused: { name: string; why: string }[] } {
  const able: Contender[] = [];
  const refused: { name: string; why: string }[] = [];
  for (const contender of contenders) {
    const missing = contender.features.find((feature) => !context.features.has(feature));
    const why = missing
      ? `this device has no ${missing}`
      : contender.refuses(p, contender.defaults(p, context.limits), context.limits);
    if (why) refused.push({ name: contender.name, why });
    else able.push(contender);
  }
  return { able, refused };
}

/** Measures one case; rows are handed over as soon as they are final. */
export async function measureCase(
  context: MeasureContext,
  benchCase: BenchCase,
  contenders: readonly Contender[],
  onRow: (row: ResultRow, samples: SampleRecord | null) => Promise<void> | void,
): Promise<void> {
  const { device, facts, limits, settings, timer } = context;
  const p = benchCase.problem;
  const { able, refused } = eligible(context, p, contenders);
  for (const { name, why } of refused) settings.onProgress(`${name} left out: ${why}`, 0);

  const hot = settings.hot || facts.software;
  const inputs = new InputSets(device, p, {
    limits,
    seed: settings.seed,
    budgetBytes: facts.software ? 2e9 : 24e9,
    unroll: !facts.software,
    ...(benchCase.trace ? traceInputs(benchCase.trace, p) : {}),
  });
  const ready: { contestant: Contestant; verdict: Verdict }[] = [];
  try {
    const total = able.length + 1;
    const ceilings = await context.probes.measure(
      { ...context.sampling, noisePct: settings.noisePct, maxTimeMs: settings.maxTimeMs / 4 },
      [p.headDim * kvBytes(p.dtype)],
    );
    const row = rowMaker(context, benchCase, ceilings, hot);
    for (const [i, contender] of able.entries()) {
      if (settings.stopped()) return;
      settings.onProgress(`${benchCase.name}: checking ${contender.name}`, i / total);
      const params = contender.defaults(p, limits);
      const contestant = await prepare(inputs, contender, params, hot ? 0 : COLD_BYTES);
      const verdict = await contestant.verify(0);
      if (verdict.ok) ready.push({ contestant, verdict });
      else {
        await onRow(row(contestant, verdict, null, null, await rowsOf(contestant, p)), null);
        contestant.destroy();
      }
    }
    if (ready.length === 0 || settings.stopped()) return;

    settings.onProgress(`${benchCase.name}: timing ${ready.length} kernels`, able.length / total);
    const samples = await sampleInterleaved(timer, ready.map((r) => r.contestant), {
      ...context.sampling,
      noisePct: settings.noisePct,
      maxTimeMs: settings.maxTimeMs,
    });
    const dense = ready.flatMap(({ contestant }, i) =>
      contestant.contender.stage === "dense" && samples[i].us.length ? [median(samples[i].us)] : []
    );
    const bestDenseUs = dense.length ? Math.min(...dense) : null;
    for (const [i, { contestant, verdict }] of ready.entries()) {
      const after = await contestant.verify(contestant.sets - 1);
      const worse = !after.ok || after.relL2 > verdict.relL2 ? after : verdict;
      const result = row(contestant, worse, samples[i], bestDenseUs, await rowsOf(contestant, p));
      await onRow(result, {
        case_id: benchCase.caseId,
        kernel: result.kernel,
        params: result.params,
        us: after.ok ? samples[i].us : [],
        dropped_us: after.ok ? samples[i].droppedUs : [],
      });
    }
    settings.onProgress(`${benchCase.name}: done`, 1);
  } finally {
    for (const { contestant } of ready) contestant.destroy();
    inputs.destroy();
  }
}

/** Rows of K that a step's lists request, and how many distinct ones; null where nothing is listed. */
async function rowsOf(
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

/** A function that makes the rows of one case. */
function rowMaker(context: MeasureContext, benchCase: BenchCase, ceilings: Ceilings, hot: boolean) {
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

/** The map to Hamming space in a word, such as `mlp3x128-f16`. */
export function mapName(p: Problem): string {
  const { layers, hidden, dtype } = p.map;
  return layers === 1 ? `linear-${dtype}` : `mlp${layers}x${hidden}-${dtype}`;
}

function failureOf({ checked, worst }: Verdict): string {
  if (!worst) return checked;
  return `${worst.what} at [${worst.index.join(", ")}]: got ${worst.got}, want ${worst.want}`;
}
