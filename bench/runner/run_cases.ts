/** Runs the cases and collects rows and notes. */
import { isRotated } from "../../kernels/core/problem/derived.ts";
import { findVariant } from "../../kernels/core/registry.ts";
import { fastest } from "../base/fastest.ts";
import type { TraceFigures } from "../cases/case_sets.ts";
import type { BenchCase } from "../cases/cases.ts";
import { eligible, type Session } from "../measure/session.ts";
import { measureCase, NoTimeError } from "./measure_case.ts";
import type { ResultRow, RowSink, SampleRecord } from "../results/row.ts";
import { SystemError } from "../base/system_error.ts";
import { traceColumns } from "./row_maker.ts";
import { describeQuality, measureTrace } from "./trace_case.ts";

/** Rows and notes of a run so far. */
export interface Outcome {
  /** Rows of this run and those kept from an earlier one. */
  readonly rows: ResultRow[];
  /** Number of rows kept from an earlier run. */
  kept: number;
  /** Kernels for which this device lacks features, memory or time, each with the reason. */
  readonly leftOut: Set<string>;
  /** Cases that this device cannot hold or cannot time, each with the reason. */
  readonly tooLarge: string[];
  /** A line for each case and kernel that has tuned parameters, used or stale. */
  readonly tuned: string[];
  /** A line for each trace on the quality of the sparse step. */
  readonly qualities: string[];
}

/** The outcome of a run that has not begun. */
export function newOutcome(): Outcome {
  return { rows: [], kept: 0, leftOut: new Set(), tooLarge: [], tuned: [], qualities: [] };
}

/**
 * Measures the missing kernels of all cases. If the device or the system fails, it stops and keeps
 * all rows so far.
 *
 * @param earlier The latest rows of earlier runs of this code into the same folder.
 * @param onBegin Called with the index of each case that begins.
 * @returns the failure; null if there was none.
 */
export async function runCases(
  to: Outcome,
  session: Session,
  cases: readonly BenchCase[],
  earlier: readonly ResultRow[],
  results: RowSink,
  onBegin: (index: number) => void = () => {},
): Promise<SystemError | null> {
  try {
    for (const [index, benchCase] of cases.entries()) {
      onBegin(index);
      await session.guard.run(() => runCase(to, session, benchCase, earlier, results));
    }
    return null;
  } catch (error) {
    if (error instanceof SystemError) return error;
    throw error;
  }
}

/**
 * Measures the missing kernels of one case. A case that the device cannot hold becomes a note, so
 * that it does not stop the others.
 *
 * @param earlier The latest rows of earlier runs of this code into the same folder.
 */
export async function runCase(
  to: Outcome,
  session: Session,
  benchCase: BenchCase,
  earlier: readonly ResultRow[],
  results: RowSink,
): Promise<void> {
  const { name, problem, variants, trace } = benchCase;
  for (const { name, why } of eligible(session, problem, variants, !!trace).refused) {
    to.leftOut.add(`${name}: ${why}`);
  }
  const first = to.rows.length;
  /** The timed rows of a trace, which wait for its quality. */
  const waiting: { rows: readonly ResultRow[]; samples: readonly SampleRecord[] }[] = [];
  let quality: TraceFigures | null = null;
  const take = (rows: readonly ResultRow[], samples: readonly SampleRecord[]) => {
    results.append(rows, samples);
    to.rows.push(...rows);
  };
  try {
    const leftOut = await measureCase(session, benchCase, earlier, {
      onRows(rows, samples) {
        if (trace && rows.some(isTimedStep)) waiting.push({ rows, samples });
        else take(rows, samples);
      },
      onKept(rows) {
        to.rows.push(...rows);
        to.kept += rows.length;
      },
      onTuned: (note) => to.tuned.push(`${name}, ${note}`),
    });
    for (const { name, why } of leftOut) to.leftOut.add(`${name}: ${why}`);
    const measured = [...to.rows.slice(first), ...waiting.flatMap(({ rows }) => rows)];
    const found = await traceQuality(session, benchCase, measured);
    if (found !== null) {
      quality = found.figures;
      to.qualities.push(`${name}: ${found.line}`);
    }
  } catch (error) {
    if (!(error instanceof RangeError || error instanceof NoTimeError)) throw error;
    to.tooLarge.push(`${name}: ${error.message}.`);
  } finally {
    // Without a quality, too, the rows are kept.
    for (const { rows, samples } of waiting) {
      take(
        rows.map((row) => isTimedStep(row) ? { ...row, ...traceColumns(quality) } : row),
        samples,
      );
    }
  }
}

/** Whether a row is that of a verified sparse step with a time. */
function isTimedStep({ stage, median_us }: ResultRow): boolean {
  return stage === "pipeline" && median_us !== null;
}

/**
 * The quality of the fastest verified sparse step, with a line on it; null without a trace. All
 * steps select the same tokens.
 */
async function traceQuality(
  { device, facts, limits, settings }: Session,
  { trace, problem, learnedMap }: BenchCase,
  rows: readonly ResultRow[],
): Promise<{ figures: TraceFigures; line: string } | null> {
  const best = fastest(rows.filter(isTimedStep), (row) => row.median_us!);
  if (!trace || !best) return null;
  const pipeline = findVariant(best.kernel);
  const options = {
    seed: settings.seed,
    unroll: !facts.software,
    ...(learnedMap ? { learnedMap } : {}),
  };
  const quality = await measureTrace(device, limits, trace, problem, pipeline, options);
  const random = isRotated(problem) ? "rotated codes" : "a random projection";
  const map = learnedMap ? "the learned map" : random;
  return {
    figures: { error: quality.outputRelErr, mass: quality.massTotal, tokens: trace.kvLen },
    line: describeQuality(pipeline.name, map, quality),
  };
}
