/**
 * A run's ratios: how its best dense kernel and its best sparse step stand against each other,
 * against peers measured outside, and against the systems that the paper compares with. Pure.
 */
import type { PeerTime } from "./peers.ts";
import type { ResultRow } from "./row.ts";

/** Who took how long. */
export interface NamedTime {
  readonly name: string;
  readonly medianUs: number;
}

/** The sparse step with the least that it could take. */
export interface StepTime extends NamedTime {
  readonly floorUs: number | null;
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
  /** Dense attention in ONNX Runtime Web, what ships for WebGPU. */
  readonly ortDense: NamedTime | null;
  /** LightLLM's way of dense attention, in WGSL. */
  readonly tokenPool: NamedTime | null;
  /** gpt-fast's way of dense attention, in WGSL. */
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
  const cases = Map.groupBy(rows, (row) => row.case_id);
  return Array.from(cases, ([id, rows]) => timesOf(labels.get(id) ?? id, rows, peers))
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
  const [row] = rows;
  const timed = rows.filter(({ verified, median_us }) => verified && median_us !== null);
  const kernel = (name: string) => fastest(timed.filter((row) => row.kernel === name).map(timeOf));
  const stage = (name: string) => fastest(timed.filter((row) => row.stage === name).map(timeOf));
  const same = peers.filter((peer) => peer.stage === "decode" && hasSameSizes(peer, row));
  const peer = (pattern: RegExp) =>
    fastest(
      same.filter(({ peer }) => pattern.test(peer))
        .map(({ peer, medianUs }) => ({ name: peer, medianUs })),
    );
  return {
    ...{ label, row },
    cudaDense: peer(/^torch_(flash|cudnn)$/),
    wgslDense: stage("dense"),
    step: stage("pipeline"),
    ortDense: peer(/^ort_web/),
    tokenPool: kernel("dense/token_pool"),
    gptFast: kernel("dense/gpt_fast"),
    select: kernel("select/counting"),
    topK: picksLikeTopK(row) ? peer(/^torch_topk$/) : null,
  };
}

/**
 * Dense attention depends on neither codes nor windows: sizes decide. Peers are measured in f16, on
 * sequences of one length.
 */
export function hasSameSizes(peer: PeerTime, row: ResultRow): boolean {
  return row.dtype === "f16" && !row.lengths.includes(" ") && peer.batch === row.batch &&
    peer.qHeads === row.q_heads &&
    peer.kvHeads === row.kv_heads && peer.headDim === row.head_dim && peer.kvLen === row.kv_len;
}

/** The peer picks N/32 of the distances of every query head. */
function picksLikeTopK({ code_sharing, k, kv_len }: ResultRow): boolean {
  return code_sharing === "head" && k === Math.floor(kv_len / 32);
}

function timeOf({ kernel, median_us, floor_us }: ResultRow): StepTime {
  return { name: kernel, medianUs: median_us!, floorUs: floor_us };
}

function fastest<T extends NamedTime>(times: readonly T[]): T | null {
  return times.reduce<T | null>(
    (best, time) => best && best.medianUs <= time.medianUs ? best : time,
    null,
  );
}
