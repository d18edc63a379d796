/** Targets of training from the exact attention of a query, computed in f64 on first use. */
import { attendDense } from "../../../selection/attention.ts";
import { cheapest } from "../../../selection/ranking.ts";
import type { EdgeWindows } from "../../../selection/selector.ts";
import { type FitContext, middleOf } from "./contexts.ts";

/** Stands for the logarithm of 0: far below any logit, and finite in f32. */
const NO_MASS = -1e30;

/** Targets of the queries of one context. Rotating q and k together changes none of them. */
export interface Targets {
  /** Log-sum-exp of the scaled logits of sink and recent window. */
  edgeLogSum(head: number, query: number): number;
  /** The `top` middle tokens of largest logit, largest first; at a tie the lower token wins. */
  positives(head: number, query: number, top: number): Uint32Array;
}

/** Creates the targets of a context. Each is computed once. */
export function createTargets(context: FitContext, windows: EdgeWindows): Targets {
  const { q, k, headDim, positions } = context;
  const edges = new Map<number, number>();
  const tops = new Map<number, Uint32Array>();
  const rowOf = (head: number, query: number) => head * positions.length + query;
  const queryAt = (row: number) => q.subarray(row * headDim, (row + 1) * headDim);

  function edgeLogSum(head: number, query: number): number {
    const row = rowOf(head, query);
    const known = edges.get(row);
    if (known !== undefined) return known;
    const { sinkEnd, recentStart } = middleOf(windows, positions[query]);
    const length = positions[query] + 1;
    const logits: number[] = [];
    for (let token = 0; token < length; token++) {
      if (token === sinkEnd) token = Math.max(sinkEnd, recentStart);
      let dot = 0;
      for (let d = 0; d < headDim; d++) dot += q[row * headDim + d] * k[token * headDim + d];
      logits.push(dot / Math.sqrt(headDim));
    }
    const highest = logits.reduce((a, b) => Math.max(a, b), NO_MASS);
    const sum = logits.reduce((total, logit) => total + Math.exp(logit - highest), 0);
    const found = sum > 0 ? highest + Math.log(sum) : NO_MASS;
    edges.set(row, found);
    return found;
  }

  function positives(head: number, query: number, top: number): Uint32Array {
    const row = rowOf(head, query);
    const known = tops.get(row);
    if (known !== undefined) return known;
    const { sinkEnd, recentStart } = middleOf(windows, positions[query]);
    const { dots } = attendDense(queryAt(row), k, null, recentStart);
    const found = cheapest(dots.map((dot) => -dot), sinkEnd, recentStart, top);
    tops.set(row, found);
    return found;
  }

  return { edgeLogSum, positives };
}
