/** The queries of a context on which methods are compared: those of its last quarter. */
import type { TraceContext } from "../../fixtures/trace.ts";

/** Whether a position lies in the last quarter of a context: from 3/4 of its tokens on. */
export function isInLastQuarter({ kvLen }: Pick<TraceContext, "kvLen">, position: number): boolean {
  return 4 * position >= 3 * kvLen;
}

/** The context with some of its queries alone, by their indexes. */
export function withQueries<Context extends TraceContext>(
  context: Context,
  kept: readonly number[],
): Context {
  const { positions, q, headDim, queryHeads } = context;
  const rows = new Float32Array(queryHeads * kept.length * headDim);
  for (let head = 0, to = 0; head < queryHeads; head++) {
    for (const query of kept) {
      const from = (head * positions.length + query) * headDim;
      rows.set(q.subarray(from, from + headDim), to);
      to += headDim;
    }
  }
  return { ...context, positions: Int32Array.from(kept, (i) => positions[i]), q: rows };
}

/** The context with its queries of the last quarter alone, which may be none. */
export function lastQuarter<Context extends TraceContext>(context: Context): Context {
  const indexes = Array.from(context.positions.keys());
  return withQueries(
    context,
    indexes.filter((i) => isInLastQuarter(context, context.positions[i])),
  );
}
