/** Runs the chosen methods over the contexts of a trace. */
import type { NamedContext, TraceContext } from "../../fixtures/trace.ts";
import { asUsageAsync } from "../base/usage_error.ts";
import { measure } from "../selection/measure.ts";
import { type QualityRow, rowsOf } from "../results/quality_rows.ts";
import type { EdgeWindows, Method, MethodInputs } from "../selection/selector.ts";

/** About what share of a context's time goes into preparing the methods. */
const PREPARATION = 0.4;

/** What to compare, and how. */
export interface QualityRun {
  /** What rows call the trace; contexts with names of their own are told after a slash. */
  readonly trace: string;
  readonly contexts: readonly NamedContext[];
  readonly methods: readonly Method[];
  readonly sparsities: readonly number[];
  readonly windows: EdgeWindows;
  readonly seed: number;
  readonly fit: TraceContext | null;
  readonly learned: MethodInputs["learned"];
  onProgress?(message: string, fraction: number): void;
}

/** What came of a run. */
export interface QualityOutcome {
  readonly rows: readonly QualityRow[];
  /** Names of the contexts that have no values, and so no output error. */
  readonly withoutValues: readonly string[];
  /** Names of the kernels that a device ran. */
  readonly variants: readonly string[];
  /** Largest relative distance between a device's output and the f64 output of its selection. */
  readonly deviation: number;
}

/**
 * Measures every method at every budget on every context.
 *
 * @throws {UsageError} in one sentence, if a method does not take the shape of the trace.
 */
export async function runQuality(run: QualityRun): Promise<QualityOutcome> {
  const { contexts, methods, sparsities, windows, seed, fit, learned } = run;
  const rows: QualityRow[] = [];
  const withoutValues: string[] = [];
  const variants = new Set<string>();
  let deviation = 0;
  for (const [i, { name, context }] of contexts.entries()) {
    const trace = name === "" ? run.trace : `${run.trace}/${name}`;
    if (context.v === null) withoutValues.push(trace);
    const tell = (what: string, fraction: number) =>
      run.onProgress?.(`${trace}: ${what}`, (i + fraction) / contexts.length);
    const budgets = sparsities.map((sparsity) => Math.floor(context.kvLen / sparsity));
    const selectors = [];
    for (const [at, { name, needs, prepare }] of methods.entries()) {
      const onProgress = (fraction: number) =>
        tell(`preparing ${name}`, PREPARATION * (at + fraction) / methods.length);
      onProgress(0);
      const inputs = { seed, windows, budgets, fit, learned, onProgress };
      const where = needs === undefined ? trace : `--${needs} for the trace ${trace}`;
      selectors.push(await asUsageAsync(async () => await prepare(context, inputs), where));
    }
    const onProgress = (fraction: number) =>
      tell("measuring", PREPARATION + (1 - PREPARATION) * fraction);
    const counts = budgets.map((count) => ({ count }));
    const sums = measure({ context, selectors, budgets: counts, windows, onProgress });
    for (const [at, { name }] of methods.entries()) {
      const { bitsPerToken, variant } = selectors[at];
      if (variant) variants.add(variant);
      const hasValues = context.v !== null;
      const source = { trace, method: name, bitsPerToken, sparsities, budgets, hasValues };
      rows.push(...rowsOf({ ...source, windows, seed }, sums[at]));
      for (const { deviation: own } of sums[at].flat()) deviation = Math.max(deviation, own);
    }
  }
  return { rows, withoutValues, variants: [...variants], deviation };
}
