/** Checks the contexts of traces and prepares them for fitting a map. */
import type { NamedContext, TraceContext } from "../../../../fixtures/trace.ts";
import { windowsOf } from "../../../../kernels/core/problem/derived.ts";
import type { EdgeWindows } from "../../../selection/selector.ts";
import { UsageError } from "../../../base/usage_error.ts";
import type { Recipe } from "../recipe.ts";

/** The content of a trace file. */
export interface TraceFile {
  /** Its name without folder and extension. */
  readonly name: string;
  readonly contexts: readonly NamedContext[];
}

/** A context for training or validation. */
export interface FitContext extends TraceContext {
  /** File and context, `FILE/NAME`, or `FILE` for bare tensors. */
  readonly label: string;
  /** Indices in `positions` of the queries with enough keys in the middle. */
  readonly usable: readonly number[];
}

/** The contexts for training and for validation. */
export interface Split {
  readonly training: readonly FitContext[];
  readonly validation: readonly FitContext[];
}

/** The number of contexts from which one is held out by default. */
const ENOUGH_TO_HOLD_OUT = 3;

/**
 * Checks that a map can be fitted on the contexts, and sorts them by label.
 *
 * @throws {UsageError} in one sentence, for contexts of different shapes or equal names, an odd
 * head dim, a single query, or fewer keys than the recipe counts as positives.
 */
export function prepareContexts(
  files: readonly TraceFile[],
  windows: EdgeWindows,
  recipe: Recipe,
): FitContext[] {
  const prepared = files.flatMap((file) =>
    file.contexts.map(({ name, context }) => {
      const label = name === "" ? file.name : `${file.name}/${name}`;
      return prepare(label, context, windows, recipe);
    })
  ).sort((a, b) => (a.label < b.label ? -1 : 1));
  const [first] = prepared;
  for (const [i, { label, headDim, queryHeads }] of prepared.entries()) {
    if (headDim !== first.headDim || queryHeads !== first.queryHeads) {
      throw new UsageError(
        `${label} has ${queryHeads} heads of ${headDim}, but ${first.label} has ` +
          `${first.queryHeads} of ${first.headDim}.`,
      );
    }
    if (label === prepared[i + 1]?.label) throw new UsageError(`Two contexts are called ${label}.`);
  }
  return prepared;
}

/** The middle tokens of a query at a position: from `sinkEnd` to before `recentStart`. */
export function middleOf(
  windows: EdgeWindows,
  position: number,
): { readonly sinkEnd: number; readonly recentStart: number } {
  return windowsOf({ ...windows, topK: { count: 0 } }, position + 1);
}

function prepare(
  label: string,
  context: TraceContext,
  windows: EdgeWindows,
  { loss, sparsity }: Recipe,
): FitContext {
  const { headDim, kvLen } = context;
  const positions = [...context.positions];
  if (headDim % 2 !== 0) {
    throw new UsageError(`${label} has head dim ${headDim}; it must be even.`);
  }
  if (positions.length < 2) {
    throw new UsageError(`${label} has a single query; fitting needs at least 2.`);
  }
  const positives = loss.learns === "positives" ? loss.top : Math.floor(kvLen / sparsity);
  const middles = positions.map((position) => {
    const { sinkEnd, recentStart } = middleOf(windows, position);
    return recentStart - sinkEnd;
  });
  const largest = middles.reduce((a, b) => Math.max(a, b));
  if (positives === 0 || largest <= positives) {
    throw new UsageError(
      `${label} has at most ${largest} keys between sink and recent window; fitting needs more ` +
        `than the ${Math.max(1, positives)} that it selects among them.`,
    );
  }
  const least = loss.learns === "positives" ? loss.top : 1;
  const usable = [...positions.keys()].filter((query) => middles[query] >= least);
  return { ...context, label, usable };
}

/**
 * Holds contexts out for validation.
 *
 * @param names Contexts to hold out, as `FILE/NAME` or `NAME`: [] for none, null for the last of
 * three or more.
 * @throws {UsageError} in one sentence, if a name matches no context or no context is left to train
 * on.
 */
export function splitContexts(
  contexts: readonly FitContext[],
  names: readonly string[] | null,
): Split {
  const chosen = names ??
    (contexts.length >= ENOUGH_TO_HOLD_OUT ? [contexts[contexts.length - 1].label] : []);
  const hasName = ({ label }: FitContext, name: string) =>
    label === name || label.slice(label.indexOf("/") + 1) === name;
  for (const name of chosen) {
    if (!contexts.some((context) => hasName(context, name))) {
      const known = contexts.map(({ label }) => label).join(", ");
      throw new UsageError(`--val names no context "${name}"; the traces have ${known}.`);
    }
  }
  const isHeldOut = (context: FitContext) => chosen.some((name) => hasName(context, name));
  const training = contexts.filter((context) => !isHeldOut(context));
  if (training.length === 0) throw new UsageError("--val leaves no context to train on.");
  return { training, validation: contexts.filter(isHeldOut) };
}
