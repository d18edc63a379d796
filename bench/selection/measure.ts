/** Measures methods of selection on a context, in f64. */
import type { TraceContext } from "../../fixtures/trace.ts";
import { windowsOf } from "../../kernels/core/problem.ts";
import {
  attendDense,
  type DenseAttention,
  PartialAttention,
  relativeError,
  sumOf,
} from "./attention.ts";
import { cheapest } from "./ranking.ts";
import type { EdgeWindows, QueryRow, Selector } from "./selector.ts";

/** What adds up over queries. */
export interface Sums {
  queries: number;
  /** Recalls, of those queries that have something to recall. */
  recall: number;
  recalled: number;
  /** Attention mass, each query's adding up to 1: of the picks, of the middle, of all attended. */
  middleCaught: number;
  middle: number;
  caught: number;
  error: number;
  /** Largest relative distance of an output that a device made from the same tokens' in f64. */
  deviation: number;
}

/** No query yet. */
export function noSums(): Sums {
  return {
    queries: 0,
    recall: 0,
    recalled: 0,
    middleCaught: 0,
    middle: 0,
    caught: 0,
    error: 0,
    deviation: 0,
  };
}

/** Sums of one selector, by place of the budget and by head. */
export type SelectorSums = readonly (readonly Sums[])[];

/** What to measure. */
export interface Measurement {
  readonly context: TraceContext;
  readonly selectors: readonly Selector[];
  /** Middle tokens to take. */
  readonly budgets: readonly number[];
  readonly windows: EdgeWindows;
  /** Called before each query of each head with the share that is done. */
  onProgress?(fraction: number): void;
}

/** Runs every query of every head through all selectors, which share its exact logits. */
export function measure(given: Measurement): SelectorSums[] {
  const { context, selectors, budgets, windows } = given;
  const { headDim, queryHeads, positions } = context;
  const sums = selectors.map(() =>
    budgets.map(() => Array.from({ length: queryHeads }, () => noSums()))
  );
  const most = budgets.reduce((a, b) => Math.max(a, b), 0);
  for (let head = 0; head < queryHeads; head++) {
    for (const [query, position] of positions.entries()) {
      given.onProgress?.((head * positions.length + query) / (queryHeads * positions.length));
      const at = (head * positions.length + query) * headDim;
      const q = context.q.subarray(at, at + headDim);
      const length = position + 1;
      const dense = attendDense(q, context.k, context.v, length);
      const { sinkEnd, recentStart } = windowsOf({ ...windows, topK: { count: 0 } }, length);
      const row = { head, query, length, q, dots: dense.dots, sinkEnd, recentStart };
      const exact = cheapest(dense.dots.map((dot) => -dot), sinkEnd, recentStart, most);
      const rank = new Uint32Array(length).fill(length);
      exact.forEach((token, i) => rank[token] = i);
      for (const [i, selector] of selectors.entries()) {
        const costs = selector.costs(row);
        const picks = costs ? cheapest(costs, sinkEnd, recentStart, most) : exact.subarray(0, 0);
        const into = sums[i].map((ofHeads) => ofHeads[head]);
        addQuery(into, { context, row, dense, picks, rank, budgets, selector });
      }
    }
  }
  return sums;
}

/** One query under one selector. */
interface Case {
  readonly context: TraceContext;
  readonly row: QueryRow;
  readonly dense: DenseAttention;
  /** Tokens in the order in which they are taken. */
  readonly picks: Uint32Array;
  /** Place of each token in the exact order. */
  readonly rank: Uint32Array;
  readonly budgets: readonly number[];
  readonly selector: Selector;
}

/** Adds a query to the sums of each budget. A larger budget takes what a smaller one takes. */
function addQuery(into: readonly Sums[], given: Case): void {
  const { context, row, dense, picks, rank, budgets, selector } = given;
  const { sinkEnd, recentStart, length } = row;
  const partial = new PartialAttention(dense.weights, context.v, context.headDim);
  partial.addRange(0, sinkEnd);
  partial.addRange(recentStart, length);
  const edges = partial.mass;
  const middle = sumOf(dense.weights, sinkEnd, recentStart);
  let taken = 0;
  const ascending = [...budgets.keys()].sort((a, b) => budgets[a] - budgets[b]);
  for (const i of ascending) {
    const k = budgets[i];
    while (taken < Math.min(k, picks.length)) partial.add(picks[taken++]);
    const sums = into[i];
    sums.queries++;
    const wanted = Math.min(k, recentStart - sinkEnd);
    if (wanted > 0) {
      let hits = 0;
      for (let at = 0; at < taken; at++) hits += Number(rank[picks[at]] < k);
      sums.recall += hits / wanted;
      sums.recalled++;
    }
    sums.middleCaught += (partial.mass - edges) / dense.total;
    sums.middle += middle / dense.total;
    sums.caught += partial.mass / dense.total;
    if (dense.out !== null) {
      const exact = partial.output();
      const out = selector.output?.(row, k) ?? exact;
      sums.error += relativeError(out, dense.out);
      sums.deviation = Math.max(sums.deviation, relativeError(out, exact));
    }
  }
}
