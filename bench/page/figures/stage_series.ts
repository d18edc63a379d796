/** The name, color and symbol of each stage, the same in all figures. */
import type { Stage } from "../../../kernels/core/variant.ts";
import { type Series, seriesOf } from "../../chart/chart.ts";

const STAGES: readonly Stage[] = [
  ...["encode_query", "encode_append", "score", "select", "attend", "merge", "pipeline"] as const,
  ...["dense", "encode_prompt", "prefill", "rival"] as const,
];

const NAMES = STAGES.map((stage) =>
  stage === "pipeline" ? "pipeline (whole step)" : stage.replace("_", " ")
);

const SERIES: ReadonlyMap<Stage, Series> = new Map(
  seriesOf(NAMES).map((series, i) => [STAGES[i], series]),
);

/**
 * The series of a stage.
 *
 * @throws {RangeError} for probes, which are not drawn as a stage.
 */
export function stageSeries(stage: Stage): Series {
  const series = SERIES.get(stage);
  if (!series) throw new RangeError(`${stage} is not drawn as a stage`);
  return series;
}

/** The series of the stages that occur in the rows, in a fixed order. */
export function seriesAmong(rows: readonly { readonly stage: Stage }[]): Series[] {
  return STAGES.filter((stage) => rows.some((row) => row.stage === stage)).map(stageSeries);
}
