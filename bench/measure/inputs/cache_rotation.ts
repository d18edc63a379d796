/** How many input sets steps must rotate over so that no cache holds the next set. */
import type { Cost, Stage } from "../../../kernels/core/variant.ts";
import { PQ_PARTS, pqNames } from "../../../kernels/encode/pq.ts";
import {
  listHeads,
  overSequences,
  prefixOf,
  windowsOf,
} from "../../../kernels/core/problem/derived.ts";
import type { Problem } from "../../../kernels/core/problem/problem.ts";

/** Bytes that must be touched between two uses of a set: five times an H100's last-level cache. */
export const COLD_BYTES = 256e6;

/** Of a step of so many bytes, an H100's caches hold less than 2% when it takes its set again. */
const ALONE_BYTES = 10 * COLD_BYTES;

/**
 * The input bytes that a step is expected to touch. Gathered rows count once: the overlap between
 * the lists of a KV head is estimated for independent uniform selections. Outputs do not count,
 * since all sets share them.
 */
export function touchedBytes(p: Problem, cost: Cost, stage: Stage): number {
  // A dense variant requests no row twice, even if it gathers rows.
  if (cost.gatherBytes === 0 || stage === "dense") return cost.streamBytes + cost.gatherBytes;
  const lists = listHeads(p) / p.kvHeads;
  // Lists of sequences that share a prefix overlap, too. Nearly all of their picks lie there.
  const sharing = prefixOf(p) > 0 ? p.batch : 1;
  const distinct = overSequences(p, (length) => {
    const { attended, kEff } = windowsOf(p, length);
    const middle = Math.max(1, length - (attended - kEff));
    return attended - kEff + middle / sharing * (1 - (1 - kEff / middle) ** (lists * sharing));
  });
  const requested = lists * overSequences(p, (length) => windowsOf(p, length).attended);
  return cost.streamBytes + cost.gatherBytes * distinct / Math.max(1, requested);
}

/** Which input sets steps rotate over. */
export interface Rotation {
  /** Whether every step takes the same set, which the caches keep. */
  readonly hot: boolean;
  /** The least number of sets, for a model with a KV cache in each of so many layers. */
  readonly layers: number;
}

/** Number of input sets that keep steps of `bytes` cold. */
export function coldSets(bytes: number): number {
  return Math.min(1024, Math.ceil(COLD_BYTES / Math.max(1, bytes)) + 1);
}

/** Number of input sets that steps of `bytes` rotate over, if there is memory for them. */
export function wantedSets(bytes: number, { hot, layers }: Rotation): number {
  return hot ? 1 : Math.max(layers, coldSets(bytes));
}

/** Whether steps of `bytes` that rotate over `sets` sets find their inputs cold. */
export function isCold(bytes: number, sets: number): boolean {
  return (sets - 1) * bytes >= COLD_BYTES || bytes >= ALONE_BYTES;
}

/** Inputs of which encode/append reads one row. */
const COPIED = [
  "keys",
  "page_bounds",
  "labels",
  "head_labels",
  "packed_labels",
  ...PQ_PARTS.map((parts) => pqNames(parts).pq_codes),
];

/** Copies of an input that so many sets of a stage take. */
export function copiesOf(input: string, stage: Stage, sets: number): number {
  // Two copies of a cache suffice to keep one row of it cold.
  return stage === "encode_append" && COPIED.includes(input) ? Math.min(2, sets) : sets;
}
