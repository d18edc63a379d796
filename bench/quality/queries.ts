/** Which queries of a context are measured, and how many tokens they select. */
import type { TraceContext } from "../../fixtures/trace.ts";
import { UsageError } from "../base/usage_error.ts";
import type { TopK } from "../../kernels/core/problem/problem.ts";
import type { QuerySet } from "../results/quality_rows.ts";
import { lastQuarter } from "../selection/last_quarter.ts";

/**
 * The context with the queries of a set alone. The last quarter has the positions from 3/4 of the
 * tokens on.
 *
 * @param trace Names the context in errors.
 * @throws {UsageError} if the set is empty.
 */
export function queriesOf(context: TraceContext, set: QuerySet, trace: string): TraceContext {
  if (set === "all") return context;
  const { positions, kvLen } = context;
  const kept = lastQuarter(context);
  if (kept.positions.length === 0) {
    throw new UsageError(
      `--queries last-quarter leaves no query of ${trace}: the last is at position ` +
        `${positions.reduce((a, b) => Math.max(a, b))}, and the quarter begins at ` +
        `${Math.ceil(3 * kvLen / 4)}.`,
    );
  }
  return kept;
}

/** The number of tokens that a budget takes, mean over the queries. */
export function meanCount({ positions }: TraceContext, topK: TopK): number {
  if ("count" in topK) return topK.count;
  const counts = Array.from(positions, (position) => Math.floor((position + 1) / topK.sparsity));
  return counts.reduce((a, b) => a + b, 0) / counts.length;
}
