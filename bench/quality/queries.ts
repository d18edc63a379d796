/** Which queries of a context are measured, and how many tokens they select. */
import type { TraceContext } from "../../fixtures/trace.ts";
import { UsageError } from "../base/usage_error.ts";
import type { TopK } from "../../kernels/core/problem.ts";
import type { QuerySet } from "../results/quality_rows.ts";

/**
 * The context with the queries of a set alone. The last quarter has the positions from 3/4 of the
 * tokens on.
 *
 * @param trace Names the context in errors.
 * @throws {UsageError} if the set is empty.
 */
export function queriesOf(context: TraceContext, set: QuerySet, trace: string): TraceContext {
  if (set === "all") return context;
  const { positions, q, headDim, queryHeads, kvLen } = context;
  const count = positions.length;
  const kept = Array.from(positions.keys()).filter((i) => 4 * positions[i] >= 3 * kvLen);
  if (kept.length === 0) {
    throw new UsageError(
      `--queries last-quarter leaves no query of ${trace}: the last is at position ` +
        `${positions.reduce((a, b) => Math.max(a, b))}, and the quarter begins at ` +
        `${Math.ceil(3 * kvLen / 4)}.`,
    );
  }
  const rows = new Float32Array(queryHeads * kept.length * headDim);
  for (let head = 0, to = 0; head < queryHeads; head++) {
    for (const query of kept) {
      const from = (head * count + query) * headDim;
      rows.set(q.subarray(from, from + headDim), to);
      to += headDim;
    }
  }
  return { ...context, positions: positions.filter((_, i) => kept.includes(i)), q: rows };
}

/** The number of tokens that a budget takes, mean over the queries. */
export function meanCount({ positions }: TraceContext, topK: TopK): number {
  if ("count" in topK) return topK.count;
  const counts = Array.from(positions, (position) => Math.floor((position + 1) / topK.sparsity));
  return counts.reduce((a, b) => a + b, 0) / counts.length;
}
