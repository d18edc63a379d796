/**
 * Chooses the next candidates from the measurements so far. The same measurements always give the
 * same candidates, so that a resumed run continues as the first would have.
 */
import type { Params } from "../../kernels/core/problem/constants.ts";
import { candidateKey, type CandidateSpace, neighbours } from "./candidates.ts";

/** Candidates of one timing call: few, since each costs samples and they are interleaved. */
export const BATCH = 14;

/** Candidates that are measured in full, beside the defaults. */
export const FINALISTS = 8;

/** A candidate that was tried; `us` is null if it failed. */
export interface Tried {
  readonly params: Params;
  /** Median microseconds of a step. */
  readonly us: number | null;
}

/** The search tries the neighbours of this many best candidates before it looks elsewhere. */
const TOPS = 3;

/** Most combinations to look at for one batch, in case nearly all are refused. */
const MOST_LOOKS = 200_000;

/**
 * Up to `count` untried candidates; none if every allowed one was tried. The defaults come first
 * and alone, since their time shows whether there is time for others. Then come the neighbours of
 * the best so far. If these were all tried, the others follow, in an order that spreads over the
 * space. So a small space is tried in full.
 */
export function nextCandidates(
  space: CandidateSpace,
  tried: readonly Tried[],
  count: number,
): Params[] {
  const taken = new Set(tried.map(({ params }) => candidateKey(params)));
  const found: Params[] = [];
  const take = (params: Params) => {
    if (found.length >= count || taken.has(candidateKey(params)) || !space.allows(params)) return;
    taken.add(candidateKey(params));
    found.push(params);
  };
  take(space.defaults);
  for (const { params } of ranked(tried).slice(0, TOPS)) {
    if (found.length === 0) neighbours(space, params).forEach(take);
  }
  if (found.length > 0) return found;
  const order = spread(space.size);
  const most = Math.min(space.size, MOST_LOOKS);
  for (let i = 0; i < most && found.length < count; i++) take(space.at(order(i)));
  return found;
}

/** Candidates that ran, fastest first. */
export function ranked<T extends Tried>(tried: readonly T[]): (T & { readonly us: number })[] {
  return tried.filter((each): each is T & { readonly us: number } => each.us !== null)
    .sort((a, b) => a.us - b.us);
}

/** An order of all numbers below `size`: multiples of a step that shares no factor with it. */
function spread(size: number): (i: number) => number {
  let step = Math.max(1, Math.round(size * GOLDEN));
  while (commonFactor(step, size) !== 1) step++;
  return (i) => (i * step) % size;
}

/** The golden ratio, whose multiples modulo 1 are spread most evenly. */
const GOLDEN = 0.618;

function commonFactor(a: number, b: number): number {
  return b === 0 ? a : commonFactor(b, a % b);
}
