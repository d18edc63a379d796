/**
 * Test support: the samples of a real run of the decode set and of a second run. The second run
 * took the first six cases with fewer kernels, on another card of the same kind (H100), in another
 * process, minutes later. `testing_samples.jsonl` has a line for each case, with every measured
 * row.
 */
import type { Stage } from "../../kernels/core/variant.ts";
import type { ResultRow } from "../results/row.ts";
import { median, medianInterval } from "../measure/clock/statistics.ts";
import { makeRow } from "../../testing/row.ts";

/** A kernel and case. */
export interface RecordedRow {
  readonly case_id: string;
  readonly kernel: string;
  readonly stage: Stage;
  /** Microseconds per step of each sample, in order; the second run may lack the row. */
  readonly runs: readonly [readonly number[], (readonly number[])?];
}

/** All rows, in the order of the first run. */
export function recordedRows(): RecordedRow[] {
  const text = Deno.readTextFileSync(`${import.meta.dirname}/testing_samples.jsonl`);
  return text.trimEnd().split("\n").flatMap((line) => {
    const { case_id, rows }: { case_id: string; rows: Omit<RecordedRow, "case_id">[] } = JSON.parse(
      line,
    );
    return rows.map((row) => ({ case_id, ...row }));
  });
}

/** A row of a run with these samples; only the columns that compare reads fit them. */
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
