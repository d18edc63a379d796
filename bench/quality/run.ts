/** Runs the chosen methods over the contexts of a trace. */
import type { NamedContext, TraceContext } from "../../fixtures/trace.ts";
import { asUsageAsync } from "../base/usage_error.ts";
import { measure } from "../selection/measure.ts";
import { meanCount, queriesOf } from "./queries.ts";
import { type Budget, type QualityRow, type QuerySet, rowsOf } from "../results/quality_rows.ts";
import type { TopK } from "../../kernels/core/problem/problem.ts";
import type { EdgeWindows, Method, MethodInputs } from "../selection/selector.ts";

/** Share of a context's time that preparing the methods takes, roughly. */
const PREPARATION = 0.4;

/** The methods to compare, and the settings. */
export interface QualityRun {
  /** Name of the trace in the rows; the name of a context follows after a slash. */
  readonly trace: string;
  readonly contexts: readonly NamedContext[];
  readonly methods: readonly Method[];
  readonly sparsities: readonly number[];
  readonly budget: Budget;
  readonly querySet: QuerySet;
  readonly windows: EdgeWindows;
  readonly seed: number;
  readonly fit: TraceContext | null;
  readonly map: MethodInputs["map"];
  readonly device: MethodInputs["device"];
  onProgress?(message: string, fraction: number): void;
}

/** The results of a run. */
export interface QualityOutcome {
  readonly rows: readonly QualityRow[];
  /** Names of the contexts that have no values, and therefore no output error. */
  readonly withoutValues: readonly string[];
  /** The kernel variant that ran, for each method that a device ran. */
  readonly variants: ReadonlyMap<string, string>;
  /** Largest relative distance between a device's output and the f64 output of its selection. */
  readonly deviation: number;
}

/**
 * Measures every method at every budget on every context.
 *
 * @throws {UsageError} in one sentence, if a method does not support the shape of the trace, or if
 * there is nothing to measure.
 */
export async function runQuality(run: QualityRun): Promise<QualityOutcome> {
  const { methods, sparsities, budget, querySet, windows, seed, fit, map, device } = run;
  const contexts = run.contexts.map(({ name, context }) => {
    const trace = name === "" ? run.trace : `${run.trace}/${name}`;
    return { trace, context: queriesOf(context, querySet, trace) };
  });
  const rows: QualityRow[] = [];
  const withoutValues: string[] = [];
  const variants = new Map<string, string>();
  let deviation = 0;
  for (const [i, { trace, context }] of contexts.entries()) {
    if (context.v === null) withoutValues.push(trace);
    const update = (message: string, fraction: number) =>
      run.onProgress?.(`${trace}: ${message}`, (i + fraction) / contexts.length);
    const budgets = sparsities.map((sparsity): TopK =>
      budget === "trace" ? { count: Math.floor(context.kvLen / sparsity) } : { sparsity }
    );
    const selectors = [];
    for (const [method, { name, needs, prepare }] of methods.entries()) {
      const onProgress = (fraction: number) =>
        update(`preparing ${name}`, PREPARATION * (method + fraction) / methods.length);
      onProgress(0);
      const inputs = { seed, windows, budgets, fit, map, device, onProgress };
      const where = needs === undefined ? trace : `--${needs} for the trace ${trace}`;
      selectors.push(await asUsageAsync(async () => await prepare(context, inputs), where));
    }
    const onProgress = (fraction: number) =>
      update("measuring", PREPARATION + (1 - PREPARATION) * fraction);
    const sums = measure({ context, selectors, budgets, windows, onProgress });
    const ks = budgets.map((topK) => meanCount(context, topK));
    for (const [method, { name }] of methods.entries()) {
      const { bitsPerToken, variant } = selectors[method];
      if (variant) variants.set(name, variant);
      const hasValues = context.v !== null;
      const source = { trace, method: name, bitsPerToken, sparsities, ks, budget, querySet };
      rows.push(...rowsOf({ ...source, hasValues, windows, seed }, sums[method]));
      for (const sum of sums[method].flat()) deviation = Math.max(deviation, sum.deviation);
    }
  }
  return { rows, withoutValues, variants, deviation };
}
