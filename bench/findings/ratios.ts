/**
 * A run's ratios: how its best dense kernel and its best sparse step stand against each other,
 * against peers measured outside, and against the systems that the paper compares with. Pure.
 */
import { fastest } from "../base/fastest.ts";
import type { PeerTime } from "./peers.ts";
import { caseName, type ResultRow } from "../results/row.ts";

/** Who took how long. */
export interface NamedTime {
  readonly name: string;
  readonly medianUs: number;
}

/** The sparse step with the least that it could take. */
export interface StepTime extends NamedTime {
  readonly rooflineUs: number | null;
}

/** What was measured of one case; null for what was not. */
export interface CaseTimes {
  readonly label: string;
  readonly row: ResultRow;
  /** The fastest dense attention in CUDA. */
  readonly cudaDense: NamedTime | null;
  /** The fastest dense kernel here. */
  readonly wgslDense: NamedTime | null;
  /** The fastest whole sparse step here. */
  readonly step: StepTime | null;
  /** The fastest dense kernel that took turns with the step; null where none did. */
  readonly turnDense: NamedTime | null;
  /** Whether that one and the step tie: then neither is faster. */
  readonly isTie: boolean;
  /** Dense attention in ONNX Runtime Web, what ships for WebGPU. */
  readonly ortDense: NamedTime | null;
  /** LightLLM's way of dense attention, in WGSL; one that took turns with the step, if any. */
  readonly tokenPool: NamedTime | null;
  /** gpt-fast's way of dense attention, in WGSL; one that took turns with the step, if any. */
  readonly gptFast: NamedTime | null;
  readonly select: NamedTime | null;
  /** `torch.topk` on the rows that `select` picks from. */
  readonly topK: NamedTime | null;
}

/**
 * The times of each case that allow a ratio, in the order in which the cases were measured. Of
 * several times of one thing the fastest counts, so that no rival looks slower than it was seen.
 *
 * @param labels What to call cases, by case id; their ids where it names none.
 */
export function caseTimes(
  rows: readonly ResultRow[],
  peers: readonly PeerTime[],
  labels: ReadonlyMap<string, string>,
): CaseTimes[] {
  // Caches left hot make another case, whose times must not meet those of the cold one.
  const cases = Map.groupBy(rows, caseName);
  return Array.from(
    cases.values(),
    (of) => timesOf(labels.get(of[0].case_id) ?? of[0].case_id, of, peers),
  )
    .filter(({ cudaDense, wgslDense, step, ortDense, select, topK }) =>
      wgslDense && (cudaDense || ortDense || step) || step && (cudaDense || ortDense) ||
      select && topK
    );
}

function timesOf(
  label: string,
  rows: readonly ResultRow[],
  peers: readonly PeerTime[],
): CaseTimes {
  // Probes have caches of their own.
  const row = rows.find(({ stage }) => stage !== "probe") ?? rows[0];
  // A median of 0 is a clock too coarse for the kernel.
  const timed = rows.filter(({ verified, median_us }) => verified && median_us);
  const stage = (name: string) => fastestRow(timed.filter((row) => row.stage === name));
  const kernel = (name: string) => fastestRow(timed.filter((row) => row.kernel === name));
  const step = stage("pipeline");
  const inTurn = timed.filter((row) => row.stage === "dense" && step && tookTurns(row, step));
  const turnDense = fastestRow(inTurn);
  const rival = (name: string) =>
    step ? fastestRow(inTurn.filter((row) => row.kernel === name)) : kernel(name);
  const same = peers.filter((peer) => isSameStep(peer, row));
  const peer = (pattern: RegExp) => {
    const found = fastest(same.filter(({ peer }) => pattern.test(peer)), (each) => each.medianUs);
    return found ? { name: found.peer, medianUs: found.medianUs } : null;
  };
  return {
    label,
    row,
    cudaDense: peer(/^torch_(flash|cudnn)$/),
    wgslDense: timeOf(stage("dense")),
    step: stepOf(step),
    turnDense: timeOf(turnDense),
    isTie: step !== null && turnDense !== null && isTie(step, turnDense),
    ortDense: peer(/^ort_web/),
    tokenPool: timeOf(rival("dense/token_pool")),
    gptFast: timeOf(rival("dense/gpt_fast")),
    select: timeOf(kernel("select/counting")),
    topK: picksLikeTopK(row) ? peer(/^torch_topk$/) : null,
  };
}

function isSameStep(peer: PeerTime, row: ResultRow): boolean {
  return peer.stage === "decode" && hasSameSizes(peer, row);
}

/**
 * Dense attention depends on neither codes nor windows: sizes decide. Peers are measured in f16, on
 * sequences of one length.
 */
export function hasSameSizes(peer: PeerTime, row: ResultRow): boolean {
  return row.dtype === "f16" && !row.lengths.includes(" ") && peer.batch === row.batch &&
    peer.qHeads === row.q_heads && peer.kvHeads === row.kv_heads &&
    peer.headDim === row.head_dim && peer.kvLen === row.kv_len;
}

/** The peer picks N/32 of the distances of every query head. */
function picksLikeTopK({ code_sharing, k, kv_len }: ResultRow): boolean {
  return code_sharing === "head" && k === Math.floor(kv_len / 32);
}

/** Speedups are written to 6 digits, as medians are. */
const ROUNDING = 1e-4;

/**
 * Whether two rows of a case were measured in turns: then their speedups refer to one time of dense
 * attention. Medians of runs that did not take turns differ by more than the kernels do.
 */
export function tookTurns(one: ResultRow, other: ResultRow): boolean {
  const [a, b] = [referenceUs(one), referenceUs(other)];
  return a !== null && b !== null && Math.abs(a / b - 1) < ROUNDING;
}

/** Whether the intervals of two medians overlap; one without an interval shows no difference. */
export function isTie(one: ResultRow, other: ResultRow): boolean {
  const isBelow = ({ ci_high_us: high }: ResultRow, { ci_low_us: low }: ResultRow) =>
    high !== null && low !== null && high < low;
  return !isBelow(one, other) && !isBelow(other, one);
}

/** The time of dense attention that a row's speedup refers to; null without a speedup. */
function referenceUs({ speedup_vs_dense: speedup, median_us }: ResultRow): number | null {
  return speedup && median_us ? speedup * median_us : null;
}

function timeOf(row: ResultRow | null): NamedTime | null {
  return row && { name: row.kernel, medianUs: row.median_us! };
}

function stepOf(row: ResultRow | null): StepTime | null {
  return row && { name: row.kernel, medianUs: row.median_us!, rooflineUs: row.floor_us };
}

function fastestRow(rows: readonly ResultRow[]): ResultRow | null {
  return fastest(rows, (row) => row.median_us!) ?? null;
}
