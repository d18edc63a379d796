/**
 * Which candidates to try next, given what was measured so far. Pure: the same measurements give
 * the same answer, so that a resumed run goes on as the first would have.
 */
import type { Params } from "../../kernels/core/variant.ts";
import { candidateKey, type CandidateSpace, neighbours } from "./candidates.ts";

/** Candidates that one timing call takes: each costs samples, and interleaving wants them few. */
export const BATCH = 14;

/** Candidates that are measured in full, beside the defaults. */
export const FINALISTS = 8;

/** A candidate that was tried; `us` is null where it failed. */
export interface Tried {
  readonly params: Params;
  /** Median microseconds of a step. */
  readonly us: number | null;
}

/** The best whose neighbours are tried before a search looks elsewhere. */
const TOPS = 3;

/** Combinations that are looked at for one batch: where nearly all are refused, that has an end. */
const MOST_LOOKS = 200_000;

/**
 * Up to `count` candidates that were not tried; none when every allowed one was. The defaults come
 * first and alone, since their time says whether there is time for others. Then come the neighbours
 * of the best so far, and at a top all others, in an order that spreads over the space. So a small
 * space is tried in full.
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

/** Steps of a number that shares no factor with `size` meet every number below it. */
function spread(size: number): (i: number) => number {
  let step = Math.max(1, Math.round(size * GOLDEN));
  while (commonFactor(step, size) !== 1) step++;
  return (i) => (i * step) % size;
}

/** Multiples of it, modulo 1, keep the farthest from each other. */
const GOLDEN = 0.618;

function commonFactor(a: number, b: number): number {
  return b === 0 ? a : commonFactor(b, a % b);
}
