/** How many input sets steps must rotate over so that no cache holds the next set. */
import type { Cost, Stage } from "../../../kernels/core/variant.ts";
import {
  listHeads,
  overSequences,
  type Problem,
  windowsOf,
} from "../../../kernels/core/problem.ts";

/** Bytes that must be touched between two uses of a set: five times an H100's last-level cache. */
export const COLD_BYTES = 256e6;

/**
 * The input bytes that a step is expected to touch. Gathered rows count once: the overlap between
 * the lists of a KV head is estimated for independent uniform selections. Outputs do not count,
 * since all sets share them.
 */
export function touchedBytes(p: Problem, cost: Cost, stage: Stage): number {
  // A dense variant requests no row twice, even if it gathers rows.
  if (cost.gatherBytes === 0 || stage === "dense") return cost.streamBytes + cost.gatherBytes;
  const lists = listHeads(p) / p.kvHeads;
  const distinct = overSequences(p, (length) => {
    const { attended, kEff } = windowsOf(p, length);
    const middle = Math.max(1, length - (attended - kEff));
    return attended - kEff + middle * (1 - (1 - kEff / middle) ** lists);
  });
  const requested = lists * overSequences(p, (length) => windowsOf(p, length).attended);
  return cost.streamBytes + cost.gatherBytes * distinct / Math.max(1, requested);
}

/** Number of input sets that keep steps of `bytes` cold. */
export function coldSets(bytes: number): number {
  return Math.min(1024, Math.ceil(COLD_BYTES / Math.max(1, bytes)) + 1);
}

/** Whether steps of `bytes` that rotate over `sets` sets find their inputs cold. */
export function isCold(bytes: number, sets: number): boolean {
  return (sets - 1) * bytes >= COLD_BYTES;
}
