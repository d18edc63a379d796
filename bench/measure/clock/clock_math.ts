/** Arithmetic on the stamps of a GPU's clock. */

/** The stamps of one pass, in ticks. */
export interface StampPair {
  readonly begin: bigint;
  readonly end: bigint;
}

/** A stamp that was taken between two moments of the wall clock, right before the second. */
export interface Mark {
  readonly ticks: bigint;
  readonly submittedMs: number;
  readonly idleMs: number;
}

/** A measured rate. */
export interface Rate {
  readonly nsPerTick: number;
  /** The share of it by which it may be off. */
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

/** A rate that is as near as this to 1 is 1. */
const SNAP = 0.005;

/**
 * The rate to use: exactly 1 ns, which the WebGPU specification promises, where the measured rate is
 * within half a percent of it or cannot be told from it, else the measured one.
 */
export function snapped({ nsPerTick, error }: Rate): number {
  return Math.abs(nsPerTick - 1) <= Math.max(SNAP, Math.min(error, MOST_SNAP)) ? 1 : nsPerTick;
}

/** No rate farther from 1 is taken for 1, however badly it was measured: no known tick is nearer. */
const MOST_SNAP = 0.1;

/** Greatest common divisor of two whole numbers of any sign. */
export function gcd(a: bigint, b: bigint): bigint {
  let [greater, less] = [a < 0n ? -a : a, b < 0n ? -b : b];
  while (less !== 0n) [greater, less] = [less, greater % less];
  return greater;
}
