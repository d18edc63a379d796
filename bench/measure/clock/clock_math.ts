/** Arithmetic on the timestamps of a GPU's clock. */

/** The timestamps of one pass, in ticks. */
export interface StampPair {
  readonly begin: bigint;
  readonly end: bigint;
}

/** A timestamp taken between two moments of the wall clock, right before the second. */
export interface Mark {
  readonly ticks: bigint;
  readonly submittedMs: number;
  readonly idleMs: number;
}

/** A measured rate of a clock. */
export interface Rate {
  readonly nsPerTick: number;
  /** Bound of the rate's error, as a share of the rate. */
  readonly error: number;
}

/** The rate of a clock between two marks; null if it did not advance. */
export function rateOf(first: Mark, second: Mark, grainTicks: number): Rate | null {
  const ticks = Number(second.ticks - first.ticks);
  const elapsedMs = second.idleMs - first.idleMs;
  if (!(ticks > 0) || !(elapsedMs > 0)) return null;
  const widthMs = (mark: Mark) => mark.idleMs - mark.submittedMs;
  const error = (widthMs(first) + widthMs(second)) / elapsedMs + grainTicks / ticks;
  return { nsPerTick: elapsedMs * 1e6 / ticks, error };
}

/** A rate within this distance of 1 is taken for 1. */
const SNAP = 0.005;

/**
 * The rate to use. It is exactly 1 ns, which the WebGPU specification promises, if the measured
 * rate is within half a percent or within its own error of 1; else the measured rate.
 */
export function snapped({ nsPerTick, error }: Rate): number {
  return Math.abs(nsPerTick - 1) <= Math.max(SNAP, Math.min(error, MAX_SNAP)) ? 1 : nsPerTick;
}

/** A rate farther from 1 is never taken for 1, however large its error. No known tick is nearer. */
const MAX_SNAP = 0.1;

/** Greatest common divisor of two whole numbers of any sign. */
export function gcd(a: bigint, b: bigint): bigint {
  let [greater, less] = [a < 0n ? -a : a, b < 0n ? -b : b];
  while (less !== 0n) [greater, less] = [less, greater % less];
  return greater;
}
