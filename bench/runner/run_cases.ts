/** What comes of a run, case by case. */
import { findVariant } from "../../kernels/core/registry.ts";
import { fastest } from "../base/fastest.ts";
import type { BenchCase } from "../cases/cases.ts";
import { eligible, type Session } from "../measure/session.ts";
import { measureCase, NoTimeError } from "./measure_case.ts";
import type { ResultRow, RowSink } from "../results/row.ts";
import { SystemError } from "../base/system_error.ts";
import { describeQuality, measureTrace } from "./trace_case.ts";

/** What has come of a run so far. */
export interface Outcome {
  /** Rows of this run and those of an earlier one that stand. */
  readonly rows: ResultRow[];
  /** How many of them are of an earlier run. */
  kept: number;
  /** Kernels that this device has no features, room or time for, and why. */
  readonly leftOut: Set<string>;
  /** Cases that this device cannot hold or cannot time, and why. */
  readonly tooLarge: string[];
  /** Kernels that ran with tuned parameters or whose were stale: a line for each case. */
  readonly tuned: string[];
  /** What the sparse step made of each trace, in a line. */
  readonly qualities: string[];
}

/** The outcome of a run that has not begun. */
export function newOutcome(): Outcome {
  return { rows: [], kept: 0, leftOut: new Set(), tooLarge: [], tuned: [], qualities: [] };
}

/**
 * Measures what is missing of the cases until the device or the system fails, which costs nothing
 * of what is measured.
 *
 * @param earlier The latest rows of earlier runs of this code into the same folder.
 * @param onBegin Told which case begins.
 * @returns the failure; null if there was none.
 */
export async function runCases(
  to: Outcome,
  session: Session,
  cases: readonly BenchCase[],
  earlier: readonly ResultRow[],
  results: RowSink,
  onBegin: (at: number) => void = () => {},
): Promise<SystemError | null> {
  try {
    for (const [at, benchCase] of cases.entries()) {
      onBegin(at);
      await session.guard.run(() => runCase(to, session, benchCase, earlier, results));
    }
    return null;
  } catch (error) {
    if (error instanceof SystemError) return error;
    throw error;
  }
}

/**
 * Measures what is missing of one case; one that the device cannot hold must not cost the others.
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
  try {
    const leftOut = await measureCase(session, benchCase, earlier, {
      onRows(rows, samples) {
        results.append(rows, samples);
        to.rows.push(...rows);
      },
      onKept(rows) {
        to.rows.push(...rows);
        to.kept += rows.length;
      },
      onTuned: (note) => to.tuned.push(`${name}, ${note}`),
    });
    for (const { name, why } of leftOut) to.leftOut.add(`${name}: ${why}`);
    const quality = await traceQuality(session, benchCase, to.rows.slice(first));
    if (quality !== null) to.qualities.push(`${name}: ${quality}`);
  } catch (error) {
    if (!(error instanceof RangeError || error instanceof NoTimeError)) throw error;
    to.tooLarge.push(`${name}: ${error.message}.`);
  }
}

/** What the fastest sparse step that is right keeps of dense attention; null without a trace. */
async function traceQuality(
  { device, facts, limits, settings }: Session,
  { trace, problem, learnedMap }: BenchCase,
  rows: readonly ResultRow[],
): Promise<string | null> {
  const steps = rows.filter((row) => row.stage === "pipeline" && row.median_us !== null);
  const best = fastest(steps, (row) => row.median_us!);
  if (!trace || !best) return null;
  const pipeline = findVariant(best.kernel);
  const options = {
    seed: settings.seed,
    unroll: !facts.software,
    ...(learnedMap ? { learnedMap } : {}),
  };
  const quality = await measureTrace(device, limits, trace, problem, pipeline, options);
  return describeQuality(
    pipeline.name,
    learnedMap ? "the learned map" : "a random projection",
    quality,
  );
}
