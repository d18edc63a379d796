/** Dense attention of a trace's last queries in f64, which errors are measured against. */
import type { Trace } from "../../fixtures/trace.ts";
import { attendDense } from "../selection/attention.ts";
import { lastQuarter } from "../selection/last_quarter.ts";

/** A trace with the queries of its last quarter and their exact attention. */
export interface Truth {
  /** Name of the trace's file. */
  readonly name: string;
  /** The trace with the queries of its last quarter alone. */
  readonly trace: Trace;
  /** The whole trace, whose earlier queries may calibrate a method. */
  readonly whole: Trace;
  /** The exact output of each query and head, [query][head]. */
  readonly out: readonly (readonly Float64Array[])[];
  /** The natural logarithm of the sum of the exponentials of the logits, [query][head]. */
  readonly logSums: readonly (readonly number[])[];
}

/**
 * Computes the exact attention of a trace's last queries.
 *
 * @param onProgress Called with the share that is done.
 * @returns null if no query lies in the last quarter.
 */
export async function truthOf(
  name: string,
  whole: Trace,
  onProgress: (fraction: number) => void = () => {},
): Promise<Truth | null> {
  const trace = lastQuarter(whole);
  const { positions, headDim, queryHeads, q, k, v } = trace;
  if (positions.length === 0) return null;
  const out: Float64Array[][] = [];
  const logSums: number[][] = [];
  for (const [query, position] of positions.entries()) {
    onProgress(query / positions.length);
    // Signals and the progress bar wait for a turn of the event loop.
    await new Promise((resolve) => setTimeout(resolve));
    const heads = Array.from({ length: queryHeads }, (_, head) => {
      const start = (head * positions.length + query) * headDim;
      return attendDense(q.subarray(start, start + headDim), k, v, position + 1);
    });
    out.push(heads.map((dense) => dense.out!));
    logSums.push(heads.map(({ dots, total }) => {
      const highest = dots.reduce((a, b) => Math.max(a, b), -Infinity);
      return highest / Math.sqrt(headDim) + Math.log(total);
    }));
  }
  return { name, trace, whole, out, logSums };
}
