/** Measures methods of selection on a context, in f64. */
import type { TraceContext } from "../../fixtures/trace.ts";
import { type TopK, windowsOf } from "../../kernels/core/problem.ts";
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

/** The sums of the queries of both. */
export function addSums(a: Sums, b: Sums): Sums {
  return {
    queries: a.queries + b.queries,
    recall: a.recall + b.recall,
    recalled: a.recalled + b.recalled,
    middleCaught: a.middleCaught + b.middleCaught,
    middle: a.middle + b.middle,
    caught: a.caught + b.caught,
    error: a.error + b.error,
    deviation: Math.max(a.deviation, b.deviation),
  };
}

/** What sums come to. */
export interface Figures {
  /** Mean share of the exact top-k that was taken; null where k is 0 or there is no middle. */
  readonly recall: number | null;
  /** Caught attention mass of the middle: sum / sum; null without any. */
  readonly massMiddle: number | null;
  /** Attention mass of everything attended, a query's being 1. */
  readonly massTotal: number;
  /** Mean of ||o - dense|| / ||dense||; 0 without values. */
  readonly outputRelErr: number;
}

/** The figures of some queries, at least one. */
export function figuresOf(sums: Sums): Figures {
  return {
    recall: sums.recalled > 0 ? sums.recall / sums.recalled : null,
    massMiddle: sums.middle > 0 ? sums.middleCaught / sums.middle : null,
    massTotal: sums.caught / sums.queries,
    outputRelErr: sums.error / sums.queries,
  };
}

/** Sums of one selector, by place of the budget and by head. */
export type SelectorSums = readonly (readonly Sums[])[];

/** What to measure. */
export interface Measurement {
  readonly context: TraceContext;
  readonly selectors: readonly Selector[];
  /** Rules of how many middle tokens to take. */
  readonly budgets: readonly TopK[];
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
  for (let head = 0; head < queryHeads; head++) {
    for (const [query, position] of positions.entries()) {
      given.onProgress?.((head * positions.length + query) / (queryHeads * positions.length));
      const at = (head * positions.length + query) * headDim;
      const q = context.q.subarray(at, at + headDim);
      const length = position + 1;
      const dense = attendDense(q, context.k, context.v, length);
      const { sinkEnd, recentStart } = windowsOf({ ...windows, topK: { count: 0 } }, length);
      const taken = budgets.map((topK) => windowsOf({ ...windows, topK }, length).kEff);
      const most = taken.reduce((a, b) => Math.max(a, b), 0);
      const row = { head, query, length, q, dots: dense.dots, sinkEnd, recentStart };
      const exact = cheapest(dense.dots.map((dot) => -dot), sinkEnd, recentStart, most);
      const rank = new Uint32Array(length).fill(length);
      exact.forEach((token, i) => rank[token] = i);
      for (const [i, selector] of selectors.entries()) {
        const costs = selector.costs(row);
        const picks = costs ? cheapest(costs, sinkEnd, recentStart, most) : exact.subarray(0, 0);
        const into = sums[i].map((ofHeads) => ofHeads[head]);
        addQuery(into, { context, row, dense, picks, rank, taken, selector });
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
  /** How many each budget takes of them. */
  readonly taken: readonly number[];
  readonly selector: Selector;
}

/** Adds a query to the sums of each budget. A larger budget takes what a smaller one takes. */
function addQuery(into: readonly Sums[], given: Case): void {
  const { context, row, dense, picks, rank, taken, selector } = given;
  const { sinkEnd, recentStart, length } = row;
  const partial = new PartialAttention(dense.weights, context.v, context.headDim);
  partial.addRange(0, sinkEnd);
  partial.addRange(recentStart, length);
  const edges = partial.mass;
  const middle = sumOf(dense.weights, sinkEnd, recentStart);
  let added = 0;
  const ascending = [...taken.keys()].sort((a, b) => taken[a] - taken[b]);
  for (const i of ascending) {
    const k = taken[i];
    while (added < Math.min(k, picks.length)) partial.add(picks[added++]);
    const sums = into[i];
    sums.queries++;
    if (k > 0) {
      let hits = 0;
      for (let at = 0; at < added; at++) hits += Number(rank[picks[at]] < k);
      sums.recall += hits / k;
      sums.recalled++;
    }
    sums.middleCaught += (partial.mass - edges) / dense.total;
    sums.middle += middle / dense.total;
    sums.caught += partial.mass / dense.total;
    if (dense.out !== null) {
      const exact = partial.output();
      const out = selector.output?.(row, i) ?? exact;
      sums.error += relativeError(out, dense.out);
      sums.deviation = Math.max(sums.deviation, relativeError(out, exact));
    }
  }
}
