/** Makes the rows of a case from check results and samples. */
import { costBytes, costOperations, type HandOver, type Plan } from "../../kernels/core/variant.ts";
import type { CheckResult } from "../../kernels/verify/verify.ts";
import { handOverOf } from "../../kernels/merge/hand_over.ts";
import { kvLayoutOf } from "../../kernels/core/problem/cache_layout.ts";
import {
  codeHeads,
  codeWords,
  isRotated,
  lengthOf,
  listHeads,
  planesOf,
  prefixOf,
  tiesOf,
  windowsOf,
} from "../../kernels/core/problem/derived.ts";
import type { Problem } from "../../kernels/core/problem/problem.ts";
import type { TraceFigures } from "../cases/case_sets.ts";
import { type BenchCase, mapName, scoreOf } from "../cases/cases.ts";
import { isCold } from "../measure/inputs/cache_rotation.ts";
import type { Session } from "../measure/session.ts";
import type { PreparedVariant } from "../measure/prepared_variant.ts";
import { type Roofline, rooflineUs } from "../measure/roofline.ts";
import type { ProbeResult } from "../measure/probes.ts";
import { LATER_DEFAULTS, type ResultRow } from "../results/row.ts";
import { FEWEST_SAMPLES, type Samples } from "../measure/clock/sampler.ts";
import { median, medianInterval, noisePct } from "../measure/clock/statistics.ts";

/** The columns that all rows of a case have in common. */
function caseColumns(
  { facts, settings, timer, inputBytes }: Session,
  { caseId, problem: p, learnedMap, dataDigest = "" }: BenchCase,
) {
  return {
    utc: new Date().toISOString(),
    suite_version: settings.suiteVersion,
    commit: settings.commit,
    ...facts,
    case_id: caseId,
    batch: p.batch,
    q_heads: p.qHeads,
    kv_heads: p.kvHeads,
    head_dim: p.headDim,
    kv_len: p.kvLen,
    lengths: (p.lengths ?? [p.kvLen]).join(" "),
    dtype: p.dtype,
    bits: p.bits,
    code_sharing: p.sharing,
    map: mapName(p, learnedMap !== undefined),
    k: "count" in p.topK ? p.topK.count : Math.floor(p.kvLen / p.topK.sparsity),
    selected: windowsOf(p, p.kvLen).kEff,
    sink: p.sink,
    recent: p.recent,
    seed: settings.seed,
    memory_bytes: inputBytes,
    data_digest: dataDigest,
    timer: timer.kind,
    ns_per_tick: timer.nsPerTick,
    clock_grain_ns: timer.grainNs,
    score: scoreOf(p),
    planes: planesOf(p),
    ties: tiesOf(p),
    code_bytes: codeBytes(p),
    layout: kvLayoutOf(p),
    page_tokens: p.kvPages?.tokens ?? null,
    prefix: prefixOf(p),
  };
}

/** Bytes that a score reads for each token and KV head: its codes, and the factor of a rotated one. */
export function codeBytes(p: Problem): number {
  return 4 * codeWords(p) * codeHeads(p) / p.kvHeads + Number(isRotated(p));
}

/** The columns of the quality on a real trace; empty without one. */
export function traceColumns(
  quality: TraceFigures | null,
): Pick<ResultRow, "trace_error" | "trace_mass" | "trace_tokens"> {
  return {
    trace_error: quality?.error ?? null,
    trace_mass: quality?.mass ?? null,
    trace_tokens: quality?.tokens ?? null,
  };
}

/**
 * The columns computed from samples. The times are empty without samples or if the check failed.
 */
function timeColumns(
  samples: Samples | null,
  verified: boolean,
  work: { readonly bytes: number; readonly touched: number; readonly operations: number },
) {
  const { bytes, touched, operations } = work;
  const timed = verified && samples !== null && samples.us.length > 0;
  const us = timed ? median(samples.us) : null;
  const interval = timed && samples.us.length >= FEWEST_SAMPLES ? medianInterval(samples.us) : null;
  return {
    steps_per_sample: samples?.stepsPerSample ?? 0,
    median_us: us,
    ci_low_us: interval?.low ?? null,
    ci_high_us: interval?.high ?? null,
    noise_pct: timed ? noisePct(samples.us) : null,
    samples: timed ? samples.us.length : 0,
    dropped: samples?.droppedUs.length ?? 0,
    touched_bytes: Math.round(touched),
    bytes,
    gbytes_per_s: us && bytes ? bytes / us / 1000 : null,
    gflops_per_s: us && operations ? operations / us / 1000 : null,
  };
}

/** The rows of the probes, from which the roofline of a case is computed. */
export function probeRows(
  session: Session,
  benchCase: BenchCase,
  results: readonly ProbeResult[],
): ResultRow[] {
  const { probeFailure: failure } = session;
  return results.map(({ name, bytes, operations, sets, samples }) => ({
    ...LATER_DEFAULTS,
    ...caseColumns(session, benchCase),
    ...timeColumns(samples, failure === null, {
      bytes,
      touched: bytes,
      operations: operations.flops ?? operations.popcounts ?? 0,
    }),
    kernel: name,
    stage: "probe",
    rows: null,
    unique_rows: null,
    params: JSON.stringify(operations),
    workgroup: null,
    cache: isCold(bytes, sets) ? "cold" : "hot",
    sets,
    dispatches: 1,
    floor_us: null,
    roofline_pct: null,
    speedup_vs_dense: null,
    rel_l2_err: null,
    verified: failure === null,
    failure: failure ?? "",
  }));
}

/** The kernel that a row describes. */
type RowSubject = Pick<
  PreparedVariant,
  "variant" | "params" | "plan" | "cost" | "sets" | "wantedSets" | "touched"
>;

/** The result of a check. The error of a kernel that did not run is null. */
type CheckOutcome = Omit<CheckResult, "relL2"> & { readonly relL2: number | null };

/** Whether steps find their inputs in a cache. */
export function cacheOf(
  { touched, sets }: Pick<RowSubject, "touched" | "sets">,
): ResultRow["cache"] {
  return isCold(touched, sets) ? "cold" : "hot";
}

/** The time of a dense step, and whether it found its inputs in a cache. */
export interface DenseTime {
  readonly cache: ResultRow["cache"];
  readonly us: number;
}

/**
 * The fastest dense step in the same state of the caches, since a hot step over a cold one tells
 * nothing; null if there is none.
 */
export function bestDenseUs(dense: readonly DenseTime[], cache: ResultRow["cache"]): number | null {
  const alike = dense.filter((each) => each.cache === cache);
  return alike.length > 0 ? Math.min(...alike.map(({ us }) => us)) : null;
}

/** A function that makes the rows of one case. */
export function rowMaker(
  session: Session,
  benchCase: BenchCase,
  roofline: Roofline,
) {
  return (
    { variant, params, plan, cost, sets, wantedSets, touched }: RowSubject,
    checkResult: CheckOutcome,
    samples: Samples | null,
    denseUs: number | null,
    rows: GatheredRows | null,
  ): ResultRow => {
    const bytes = costBytes(cost);
    const operations = costOperations(cost);
    const times = timeColumns(samples, checkResult.ok, { bytes, touched, operations });
    const us = times.median_us;
    const leastUs = rooflineUs(roofline, cost, plan.dispatches.length);
    const compared = ["dense", "pipeline", "rival"].includes(variant.stage);
    return {
      ...caseColumns(session, benchCase),
      ...times,
      kernel: variant.name,
      stage: variant.stage,
      rows: rows?.rows ?? null,
      unique_rows: rows?.unique ?? null,
      params: JSON.stringify(params),
      workgroup: params.WORKGROUP ?? null,
      cache: cacheOf({ touched, sets }),
      sets,
      wanted_sets: wantedSets,
      dispatches: plan.dispatches.length,
      floor_us: leastUs,
      roofline_pct: us ? leastUs / us * 100 : null,
      speedup_vs_dense: us && denseUs && compared ? denseUs / us : null,
      hand_over: planHandOver(plan),
      rel_l2_err: checkResult.relL2,
      verified: checkResult.ok,
      failure: checkResult.ok ? "" : failureOf(checkResult),
      ...traceColumns(variant.stage === "pipeline" ? benchCase.quality ?? null : null),
    };
  };
}

/** Rows of K that a step's lists request, and the number of distinct ones among them. */
export interface GatheredRows {
  readonly rows: number;
  readonly unique: number;
}

/** The rows that a prepared variant lists in set 0, right after its check; null without a list. */
export async function rowsOf(prepared: PreparedVariant, p: Problem): Promise<GatheredRows | null> {
  const spec = prepared.plan.buffers.selected;
  if (!spec || prepared.cost.gatherBytes === 0) return null;
  const lists = new Uint32Array((await prepared.read("selected", 0)).buffer);
  const perList = lists.length / (p.batch * listHeads(p));
  const attended = (sequence: number) => windowsOf(p, lengthOf(p, sequence)).attended;
  const perKvHead = listHeads(p) / p.kvHeads;
  // The first sequence's sets also hold what all share.
  const seen = Array.from({ length: p.batch * p.kvHeads }, () => new Set<number>());
  let rows = 0;
  for (let kvHead = 0; kvHead < p.batch * p.kvHeads; kvHead++) {
    const sequence = Math.floor(kvHead / p.kvHeads);
    const taken = attended(sequence);
    for (let list = kvHead * perKvHead; list < (kvHead + 1) * perKvHead; list++) {
      for (const token of lists.subarray(list * perList, list * perList + taken)) {
        const owner = token < prefixOf(p) ? kvHead % p.kvHeads : kvHead;
        seen[owner].add(token);
      }
    }
    rows += perKvHead * taken;
  }
  return { rows, unique: seen.reduce((sum, { size }) => sum + size, 0) };
}

/** Scratch buffers in which variants without a choice leave partials for the next dispatch. */
const PARTIALS = ["partial_out", "split_sums"];

/** How a plan hands partials over; empty if it merges none. */
function planHandOver({ dispatches, buffers }: Plan): HandOver | "" {
  const codes = dispatches.flatMap(({ params }) => params.HAND_OVER ?? []);
  if (codes.length > 0) return handOverOf(codes[0]);
  return PARTIALS.some((name) => buffers[name]?.role === "scratch") ? "dispatch" : "";
}

function failureOf({ checked, worst }: CheckOutcome): string {
  if (!worst) return checked;
  return `${worst.what} at [${worst.index.join(", ")}]: got ${worst.got}, want ${worst.want}`;
}
