/** Whether dense attention or the sparse step is faster in one case. */
import { isTie, tookTurns } from "./ratios.ts";
import type { ResultRow } from "../results/row.ts";

/** The faster of the two at one KV length; a tie if the intervals of the medians overlap. */
export type Winner = "sparse" | "dense" | "tie";

/** A case's fastest sparse step, and the fastest dense kernel that took turns with it. */
export interface Comparison {
  readonly kvLen: number;
  readonly dense: ResultRow;
  readonly step: ResultRow;
  /** Time of the dense kernel over the time of the sparse step. */
  readonly speedup: number;
  readonly winner: Winner;
}

/** A row whose time can be compared with another. */
type TimedRow = ResultRow & {
  readonly median_us: number;
  readonly ci_low_us: number;
  readonly ci_high_us: number;
};

const NAMES = { dense: "dense kernel", pipeline: "whole sparse step" } as const;

/**
 * Compares the rows of one case on one device, or returns the reason why they cannot be compared,
 * as half a sentence. A sparse step is compared with the fastest dense kernel that took turns with
 * it.
 */
export function compareCase(rows: readonly ResultRow[]): Comparison | string {
  const dense = timed(rows, "dense");
  const steps = timed(rows, "pipeline");
  const missing = [
    ...(dense.length === 0 ? [whyNone(rows, "dense")] : []),
    ...(steps.length === 0 ? [whyNone(rows, "pipeline")] : []),
  ];
  if (missing.length > 0) return missing.join(" and ");
  const pairs = steps.flatMap((step) => {
    const inTurn = dense.filter((row) => tookTurns(row, step));
    return inTurn.length > 0 ? [{ step, dense: inTurn.reduce(faster) }] : [];
  });
  if (pairs.length === 0) return "dense kernels and sparse steps did not take turns";
  const best = pairs.reduce((a, b) => b.step.median_us < a.step.median_us ? b : a);
  return {
    kvLen: best.step.kv_len,
    dense: best.dense,
    step: best.step,
    speedup: best.dense.median_us / best.step.median_us,
    winner: winnerOf(best.dense, best.step),
  };
}

function faster(a: TimedRow, b: TimedRow): TimedRow {
  return b.median_us < a.median_us ? b : a;
}

function winnerOf(dense: TimedRow, step: TimedRow): Winner {
  if (isTie(dense, step)) return "tie";
  return step.median_us < dense.median_us ? "sparse" : "dense";
}

/** Verified rows with a median and its interval. A median without an interval proves no win. */
function timed(rows: readonly ResultRow[], stage: keyof typeof NAMES): TimedRow[] {
  return rows.filter((row): row is TimedRow =>
    row.stage === stage && row.verified && row.median_us !== null && row.median_us > 0 &&
    row.ci_low_us !== null && row.ci_high_us !== null
  );
}

function whyNone(rows: readonly ResultRow[], stage: keyof typeof NAMES): string {
  const all = rows.filter((row) => row.stage === stage);
  const name = NAMES[stage];
  if (all.length === 0) return `no ${name} was timed`;
  if (all.every(({ verified }) => !verified)) return `every ${name} FAILED its check`;
  return `no ${name} that passed its check has enough samples for an interval`;
}
