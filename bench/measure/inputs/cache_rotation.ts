/** When inputs count as cold: what must be touched between two uses of the same bytes. */
import type { Cost, Stage } from "../../../kernels/core/variant.ts";
import {
  codeHeads,
  overSequences,
  type Problem,
  windowsOf,
} from "../../../kernels/core/problem.ts";

/** Bytes that must be touched between reuses: five times the last-level cache of an H100. */
export const COLD_BYTES = 256e6;

/**
 * Bytes of its own inputs that a step can be expected to touch: what it streams, and of the rows
 * that it gathers the distinct ones, as if the lists of a KV head picked at random. Outputs are
 * shared by all sets and do not count.
 */
export function touchedBytes(p: Problem, cost: Cost, stage: Stage): number {
  // A dense kernel requests no row twice, however it finds them.
  if (cost.gatherBytes === 0 || stage === "dense") return cost.streamBytes + cost.gatherBytes;
  const lists = codeHeads(p) / p.kvHeads;
  const distinct = overSequences(p, (length) => {
    const { attended, kEff } = windowsOf(p, length);
    const middle = Math.max(1, length - (attended - kEff));
    return attended - kEff + middle * (1 - (1 - kEff / middle) ** lists);
  });
  const requested = lists * overSequences(p, (length) => windowsOf(p, length).attended);
  return cost.streamBytes + cost.gatherBytes * distinct / Math.max(1, requested);
}

/** Input sets that keep steps of so many bytes cold. */
export function coldSets(bytes: number): number {
  return Math.min(1024, Math.ceil(COLD_BYTES / Math.max(1, bytes)) + 1);
}

/** Whether steps of so many bytes that rotate over `sets` sets find their inputs cold. */
export function isCold(bytes: number, sets: number): boolean {
  return (sets - 1) * bytes >= COLD_BYTES;
}
