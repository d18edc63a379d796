/**
 * Successive halving (Jamieson and Talwalkar, AISTATS 2016): few samples of all candidates, more of
 * the better part, the full measurement of finalists alone. Pure.
 */
import type { Interval } from "../measure/clock/statistics.ts";

/** Candidates that one timing call takes: each costs samples, and interleaving wants them few. */
export const BATCH = 14;

/** Candidates that are measured in full, beside the defaults. */
export const FINALISTS = 4;

/** Sizes of the rounds after the first, of which the last are the finalists. */
export function roundSizes(candidates: number): number[] {
  if (candidates === 0) return [];
  const sizes: number[] = [];
  let size = candidates;
  while (size > FINALISTS) {
    const third = Math.ceil(size / 3);
    // A round that hardly drops anybody would only cost its warm-up.
    size = third < 2 * FINALISTS ? FINALISTS : Math.min(BATCH, third);
    sizes.push(size);
  }
  return sizes.length > 0 ? sizes : [size];
}

/** A finalist's median with its interval, in microseconds of a step. */
export interface Final extends Interval {
  readonly us: number;
}

/**
 * Whether a finalist may replace the defaults: its whole interval lies below theirs. A difference
 * that noise could make is none.
 */
export function beats(finalist: Final, defaults: Final): boolean {
  return finalist.high < defaults.low;
}
