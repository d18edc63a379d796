/** How a budget is shared out over kernels and problems, and within one of them. Pure. */
import type { Stage, Variant } from "../../kernels/core/variant.ts";

/** What a process takes to open a GPU, and to calibrate its clock. */
const OPEN_MS = 3000;

/** What the rounds after the first take where steps are short. */
const FINALS_MS = 3500;

/**
 * Shares by stage of what is left when all have been opened and finished. What reads the cache has
 * the time of a step and many parameters.
 */
const SHARES: Readonly<Partial<Record<Stage, number>>> = {
  dense: 3,
  attend: 3,
  score: 3,
  pipeline: 1.5,
  select: 1.5,
};

/** The share of a kernel, beside those of others. */
export function shareOf({ stage }: Variant): number {
  return SHARES[stage] ?? 1;
}

/** Less would not even open the device. */
const LEAST_MS = 1000;

/**
 * Milliseconds for the first of the jobs that are left: its fixed cost and its share of the budget
 * that is left, so that what a job does not use goes to the ones after it.
 */
export function jobBudgetMs(leftMs: number, shares: readonly number[]): number {
  const fixedMs = Math.min(OPEN_MS + FINALS_MS, leftMs / shares.length);
  const all = shares.reduce((sum, share) => sum + share, 0);
  const freeMs = leftMs - fixedMs * shares.length;
  return Math.max(LEAST_MS, fixedMs + freeMs * shares[0] / all);
}

/** Milliseconds of a job's budget after which no new candidates are tried. */
export function exploreMs(budgetMs: number): number {
  return Math.max(budgetMs / 2, budgetMs - FINALS_MS);
}
