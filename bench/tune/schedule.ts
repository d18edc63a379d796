/** How a budget is shared out over kernels and problems. Pure. */
import type { Contender, Stage } from "../../kernels/contender.ts";

/**
 * Shares by stage. What reads the cache has the time of a step and many parameters; encoders and the
 * merge have few candidates and little to gain.
 */
const SHARES: Partial<Record<Stage, number>> = {
  ...{ dense: 3, attend: 3, score: 3, select: 2, pipeline: 2, prefill: 2 },
};

/** The share of a kernel, beside those of others. */
export function shareOf({ stage }: Contender): number {
  return SHARES[stage] ?? 1;
}

/**
 * Milliseconds for the first of the jobs that are left: its share of what is left of the budget, so
 * that what a job does not use goes to the ones after it.
 */
export function jobBudgetMs(leftMs: number, shares: readonly number[]): number {
  const all = shares.reduce((sum, share) => sum + share, 0);
  return Math.max(LEAST_MS, leftMs * shares[0] / all);
}

/** Less would not even open the device. */
const LEAST_MS = 1000;
