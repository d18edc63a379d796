/**
 * Which candidates to try next, given what was measured so far. Pure: the same measurements and
 * seed give the same answer, so that a resumed run goes on as the first would have.
 */
import type { Params } from "../../kernels/core/variant.ts";
import { createRandom } from "../../fixtures/random.ts";
import { candidateKey, type CandidateSpace, neighbours } from "./candidates.ts";

/** Names of the strategies. */
export const STRATEGIES = ["exhaustive", "random", "hill-climb"] as const;

/** A way through the candidates. */
export type Strategy = (typeof STRATEGIES)[number];

/** A candidate that was tried; `us` is null where it failed. */
export interface Tried {
  readonly params: Params;
  /** Median microseconds of a step. */
  readonly us: number | null;
}

/** Combinations beyond which nobody counts how many of them are allowed. */
const MOST_COUNTED = 20_000;

/** Combinations that are looked at for one batch: where nearly all are refused, that has an end. */
const MOST_LOOKS = 200_000;

/** How many candidates are allowed; null where there are too many combinations to look at each. */
export function countAllowed(space: CandidateSpace): number | null {
  if (space.size > MOST_COUNTED) return null;
  let count = 0;
  for (let i = 0; i < space.size; i++) if (space.allows(space.at(i))) count++;
  return count;
}

/** The strategy where none is asked for: all candidates if that can be afforded, else a climb. */
export function usualStrategy(allowed: number | null, affordable: number): Strategy {
  return allowed !== null && allowed <= affordable ? "exhaustive" : "hill-climb";
}

/**
 * Up to `count` candidates that were not tried: the defaults first, then what the strategy says.
 * None when every allowed candidate was tried.
 *
 * - `exhaustive`: all, in an order that spreads over the space, so that a part of them is a sample
 * - `random`: drawn at random
 * - `hill-climb`: the neighbours of the best so far, and at a top random ones
 */
export function nextCandidates(
  strategy: Strategy,
  space: CandidateSpace,
  tried: readonly Tried[],
  count: number,
  seed: number,
): Params[] {
  const taken = new Set(tried.map(({ params }) => candidateKey(params)));
  const found: Params[] = [];
  const take = (params: Params) => {
    if (found.length >= count || taken.has(candidateKey(params)) || !space.allows(params)) return;
    taken.add(candidateKey(params));
    found.push(params);
  };
  take(space.defaults);
  if (strategy === "hill-climb") {
    for (const top of ranked(tried).slice(0, TOPS)) {
      if (found.length === 0) neighbours(space, top.params).forEach(take);
    }
    if (found.length > 0) return found;
  }
  const order = strategy === "exhaustive" ? spread(space.size) : shuffled(space.size, seed);
  const most = Math.min(space.size, MOST_LOOKS);
  for (let i = 0; i < most && found.length < count; i++) take(space.at(order(i)));
  return found;
}

/** The best whose neighbours a climb tries before it looks elsewhere. */
const TOPS = 3;

/** Candidates that ran, fastest first. */
export function ranked<T extends Tried>(tried: readonly T[]): (T & { readonly us: number })[] {
  return tried.filter((each): each is T & { readonly us: number } => each.us !== null)
    .sort((a, b) => a.us - b.us);
}

/** Numbers below `size` in an order that the seed draws: each once where they are few. */
function shuffled(size: number, seed: number): (i: number) => number {
  const { below } = createRandom(seed);
  if (size > MOST_COUNTED) return () => below(size);
  const order = Uint32Array.from({ length: size }, (_, i) => i);
  for (let i = size - 1; i > 0; i--) {
    const other = below(i + 1);
    [order[i], order[other]] = [order[other], order[i]];
  }
  return (i) => order[i];
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
