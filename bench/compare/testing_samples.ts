/**
 * Test support: the samples of a real run of the decode set, and of a second run of its first six
 * cases with fewer kernels, on another card of the same kind (H100), by another process minutes
 * later. `testing_samples.jsonl` has a line for each case, with every row that the runs measured.
 */
import type { Stage } from "../../kernels/core/variant.ts";
import type { ResultRow } from "../results/row.ts";
import { median, medianInterval } from "../measure/clock/statistics.ts";
import { makeRow } from "../../testing/row.ts";

/** A kernel on a case. */
export interface RecordedRow {
  readonly case_id: string;
  readonly kernel: string;
  readonly stage: Stage;
  /** Microseconds per step of each sample, in the order measured; the second run may have none. */
  readonly runs: readonly [readonly number[], (readonly number[])?];
}

/** All of them, in the order of the first run. */
export function recordedRows(): RecordedRow[] {
  const text = Deno.readTextFileSync(`${import.meta.dirname}/testing_samples.jsonl`);
  return text.trimEnd().split("\n").flatMap((line) => {
    const { case_id, rows }: { case_id: string; rows: Omit<RecordedRow, "case_id">[] } = JSON.parse(
      line,
    );
    return rows.map((row) => ({ case_id, ...row }));
  });
}

/** The row that a run with these samples writes; only what compare reads is true to them. */
export function rowOf({ case_id, kernel, stage }: RecordedRow, us: readonly number[]): ResultRow {
  const { low, high } = medianInterval(us);
  return makeRow({
    case_id,
    kernel,
    stage,
    samples: us.length,
    median_us: median(us),
    ci_low_us: low,
    ci_high_us: high,
  });
}
