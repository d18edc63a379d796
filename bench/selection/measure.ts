/** Measures methods of selection on a context, in f64. */
import type { TraceContext } from "../../fixtures/trace.ts";
import type { TopK } from "../../kernels/core/problem/problem.ts";
import { windowsOf } from "../../kernels/core/problem/derived.ts";
import {
  attendDense,
  type DenseAttention,
  PartialAttention,
  relativeError,
  sumOf,
} from "./attention.ts";
import { cheapest } from "./ranking.ts";
import type { EdgeWindows, QueryRow, Selector } from "./selector.ts";

/** Sums over queries. */
export interface Sums {
  queries: number;
  /** Sum of the recalls of the queries with k above 0. */
  recall: number;
  /** Number of queries with k above 0. */
  recalled: number;
  /** Attention mass of the selected middle tokens. The mass of each query is 1. */
  middleCaught: number;
  /** Attention mass of the middle. */
  middle: number;
  /** Attention mass of all attended tokens. */
  caught: number;
  error: number;
  /** Largest relative distance of a device's output from the f64 output of the same tokens. */
  deviation: number;
}

/** The sums of no query. */
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

/** Means over queries. */
export interface Figures {
  /** Mean share of the exact top-k that was selected; null if k is 0 or there is no middle. */
  readonly recall: number | null;
  /** Share of the middle's attention mass that was selected: sum / sum; null without a middle. */
  readonly massMiddle: number | null;
  /** Mean attention mass of all attended tokens. The mass of each query is 1. */
  readonly massTotal: number;
  /** Mean of ||o - dense|| / ||dense||; 0 without values. */
  readonly outputRelErr: number;
}

/** The figures of at least one query. */
export function figuresOf(sums: Sums): Figures {
  return {
    recall: sums.recalled > 0 ? sums.recall / sums.recalled : null,
    massMiddle: sums.middle > 0 ? sums.middleCaught / sums.middle : null,
    massTotal: sums.caught / sums.queries,
    outputRelErr: sums.error / sums.queries,
  };
}

/** Sums of one selector, by index of the budget and by head. */
export type SelectorSums = readonly (readonly Sums[])[];

/** Selectors to measure on a context, at several budgets. */
export interface Measurement {
  readonly context: TraceContext;
  readonly selectors: readonly Selector[];
  /** Budgets of middle tokens. */
  readonly budgets: readonly TopK[];
  readonly windows: EdgeWindows;
  /** Called with the share that is done, before each query of each head. */
  onProgress?(fraction: number): void;
}

/** Runs every query of every head through all selectors. They share the exact logits. */
export function measure(given: Measurement): SelectorSums[] {
  const { context, selectors, budgets } = given;
  const { queryHeads, positions } = context;
  const sums = selectors.map(() =>
    budgets.map(() => Array.from({ length: queryHeads }, () => noSums()))
  );
  for (let head = 0; head < queryHeads; head++) {
    for (const query of positions.keys()) {
      given.onProgress?.((head * positions.length + query) / (queryHeads * positions.length));
      measureQuery(
        given,
        { head, query },
        sums.map((all) => all.map((ofBudget) => ofBudget[head])),
      );
    }
  }
  return sums;
}

/** One query of one head, and what the selectors make of it. */
export interface QueryChoice {
  readonly row: QueryRow;
  readonly dense: DenseAttention;
  /** The tokens of the largest budget by their exact logits, best first. */
  readonly exact: Uint32Array;
  /** Costs and selected tokens of each selector, for the largest budget, cheapest first. */
  readonly choices: readonly {
    readonly costs: ArrayLike<number> | null;
    readonly selected: Uint32Array;
  }[];
}

/**
 * Runs one query of one head through all selectors.
 *
 * @param sums Sums of each selector by budget, to which those of the query are added.
 */
export function measureQuery(
  { context, selectors, budgets, windows }: Omit<Measurement, "onProgress">,
  { head, query }: { readonly head: number; readonly query: number },
  sums: readonly (readonly Sums[])[],
): QueryChoice {
  const { headDim, positions } = context;
  const start = (head * positions.length + query) * headDim;
  const q = context.q.subarray(start, start + headDim);
  const length = positions[query] + 1;
  const dense = attendDense(q, context.k, context.v, length);
  const { sinkEnd, recentStart } = windowsOf({ ...windows, topK: { count: 0 } }, length);
  const taken = budgets.map((topK) => windowsOf({ ...windows, topK }, length).kEff);
  const maxTaken = taken.reduce((a, b) => Math.max(a, b), 0);
  const row = { head, query, length, q, dots: dense.dots, sinkEnd, recentStart };
  const exact = cheapest(dense.dots.map((dot) => -dot), sinkEnd, recentStart, maxTaken);
  const rank = new Uint32Array(length).fill(length);
  exact.forEach((token, i) => rank[token] = i);
  const choices = selectors.map((selector, i) => {
    const costs = selector.costs(row);
    const selected = costs
      ? cheapest(costs, sinkEnd, recentStart, maxTaken, selector.ties)
      : exact.subarray(0, 0);
    addQuery(sums[i], { context, row, dense, selected, rank, taken, selector });
    return { costs, selected };
  });
  return { row, dense, exact, choices };
}

/** One query under one selector. */
interface Case {
  readonly context: TraceContext;
  readonly row: QueryRow;
  readonly dense: DenseAttention;
  /** Selected tokens, cheapest first. */
  readonly selected: Uint32Array;
  /** Rank of each token by its exact logit. */
  readonly rank: Uint32Array;
  /** Number of selected tokens that each budget takes. */
  readonly taken: readonly number[];
  readonly selector: Selector;
}

/** Adds a query to the sums of each budget. A larger budget takes all tokens of a smaller one. */
function addQuery(sumsOfBudgets: readonly Sums[], given: Case): void {
  const { context, row, dense, selected, rank, taken, selector } = given;
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
    while (added < Math.min(k, selected.length)) partial.add(selected[added++]);
    const sums = sumsOfBudgets[i];
    sums.queries++;
    if (k > 0) {
      let hits = 0;
      for (let j = 0; j < added; j++) hits += Number(rank[selected[j]] < k);
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
