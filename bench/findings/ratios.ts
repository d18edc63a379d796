/**
 * The ratios of a run: its fastest dense kernel and its fastest sparse step compared with each
 * other, with peers measured outside the suite, and with the systems that the paper compares with.
 */
import { fastest } from "../base/fastest.ts";
import type { PeerStage, PeerTime } from "./peers.ts";
import { caseName, type ResultRow } from "../results/row.ts";

/** The time of a kernel or a peer. */
export interface NamedTime {
  readonly name: string;
  readonly medianUs: number;
}

/** The time of a sparse step, or of a prompt's attention, with its roofline. */
export interface StepTime extends NamedTime {
  readonly rooflineUs: number | null;
}

/** The times of one case; null for a time that was not measured. */
export interface CaseTimes {
  readonly label: string;
  readonly row: ResultRow;
  /** The fastest dense attention in CUDA. */
  readonly cudaDense: NamedTime | null;
  /** The fastest dense kernel here. */
  readonly wgslDense: NamedTime | null;
  /** The fastest whole sparse step here. */
  readonly step: StepTime | null;
  /** The fastest dense kernel that took turns with the step; null if none did. */
  readonly turnDense: NamedTime | null;
  /** Whether `turnDense` and the step tie, so that neither is faster. */
  readonly isTie: boolean;
  /** Dense attention in ONNX Runtime Web, the implementation that ships for WebGPU. */
  readonly ortDense: NamedTime | null;
  /** Dense attention as in LightLLM, in WGSL. If there is a step, it took turns with the step. */
  readonly tokenPool: NamedTime | null;
  /** Dense attention as in gpt-fast, in WGSL. If there is a step, it took turns with the step. */
  readonly gptFast: NamedTime | null;
  readonly select: NamedTime | null;
  /** `torch.topk` on the rows that `select` selects from. */
  readonly topK: NamedTime | null;
  /** The fastest prompt attention here. */
  readonly prompt: StepTime | null;
  /** The fastest prompt attention in CUDA. */
  readonly cudaPrompt: NamedTime | null;
}

/**
 * The times of each case that has a ratio, in the order in which the cases were measured. If a
 * kernel or peer has several times, the fastest counts, so that no rival looks slower than it is.
 *
 * @param labels Labels by case id. A case without one is called by its id.
 */
export function caseTimes(
  rows: readonly ResultRow[],
  peers: readonly PeerTime[],
  labels: ReadonlyMap<string, string>,
): CaseTimes[] {
  // Hot and cold rows are separate cases, whose times must not be mixed.
  const cases = Map.groupBy(rows, caseName);
  return Array.from(
    cases.values(),
    (rowsOfCase) => {
      const [{ case_id }] = rowsOfCase;
      return timesOf(labels.get(case_id) ?? case_id, rowsOfCase, peers);
    },
  )
    .filter(({ cudaDense, wgslDense, step, ortDense, select, topK, prompt, cudaPrompt }) =>
      wgslDense && (cudaDense || ortDense || step) || step && (cudaDense || ortDense) ||
      select && topK || prompt && cudaPrompt
    );
}

/** Peers that are dense attention in CUDA. */
const CUDA_ATTENTION = /^torch_(flash|cudnn)$/;

function timesOf(
  label: string,
  rows: readonly ResultRow[],
  peers: readonly PeerTime[],
): CaseTimes {
  // The cache state of a probe is not that of the kernels.
  const row = rows.find(({ stage }) => stage !== "probe") ?? rows[0];
  // A median of 0 means that the clock is too coarse for the kernel.
  const timed = rows.filter(({ verified, median_us }) => verified && median_us);
  const stage = (name: string) => fastestRow(timed.filter((row) => row.stage === name));
  const kernel = (name: string) => fastestRow(timed.filter((row) => row.kernel === name));
  const step = stage("pipeline");
  const inTurn = timed.filter((row) => row.stage === "dense" && step && tookTurns(row, step));
  const turnDense = fastestRow(inTurn);
  const rival = (name: string) =>
    step ? fastestRow(inTurn.filter((row) => row.kernel === name)) : kernel(name);
  const same = peers.filter((peer) => hasSameSizes(peer, row));
  const peer = (pattern: RegExp, stage: PeerStage = "decode") => {
    const wanted = same.filter((each) => each.stage === stage && pattern.test(each.peer));
    const found = fastest(wanted, (each) => each.medianUs);
    return found ? { name: found.peer, medianUs: found.medianUs } : null;
  };
  return {
    label,
    row,
    cudaDense: peer(CUDA_ATTENTION),
    wgslDense: timeOf(stage("dense")),
    step: stepOf(step),
    turnDense: timeOf(turnDense),
    isTie: step !== null && turnDense !== null && isTie(step, turnDense),
    ortDense: peer(/^ort_web/),
    tokenPool: timeOf(rival("dense/token_pool")),
    gptFast: timeOf(rival("dense/gpt_fast")),
    select: timeOf(kernel("select/counting")),
    topK: picksLikeTopK(row) ? peer(/^torch_topk$/) : null,
    prompt: stepOf(stage("prefill")),
    cudaPrompt: peer(CUDA_ATTENTION, "prefill"),
  };
}

/**
 * Whether a peer's dense attention had the sizes of a row. Codes and windows do not matter to it.
 * Peers are measured in f16, on sequences of one length that share nothing.
 */
export function hasSameSizes(peer: PeerTime, row: ResultRow): boolean {
  return row.dtype === "f16" && !row.lengths.includes(" ") && row.prefix === 0 &&
    peer.batch === row.batch &&
    peer.qHeads === row.q_heads && peer.kvHeads === row.kv_heads &&
    peer.headDim === row.head_dim && peer.kvLen === row.kv_len;
}

/**
 * Whether a row selects as the peer does, which takes N/32 of the distances of every query head.
 */
function picksLikeTopK({ code_sharing, k, kv_len }: ResultRow): boolean {
  return code_sharing !== "group" && k === Math.floor(kv_len / 32);
}

/** Tolerance of a ratio, since speedups and medians are rounded to 6 digits. */
const ROUNDING = 1e-4;

/**
 * Whether two rows of a case were measured in turns, so that their speedups refer to the same time
 * of dense attention. Medians of runs that did not take turns may differ by more than the kernels
 * do.
 */
export function tookTurns(one: ResultRow, other: ResultRow): boolean {
  const [a, b] = [referenceUs(one), referenceUs(other)];
  return a !== null && b !== null && Math.abs(a / b - 1) < ROUNDING;
}

/** Whether the intervals of two medians overlap. A median without an interval ties with any. */
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
