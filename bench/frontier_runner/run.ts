/** Measures the methods one after another: their errors on the traces, then their times. */
import type { Shape } from "../../kernels/core/problem/problem.ts";
import { CompileError } from "../../kernels/core/run/program.ts";
import type { LearnedMap } from "../../kernels/maps/learned_map.ts";
import type { Session } from "../measure/session.ts";
import { TimeLeft } from "../runner/estimate.ts";
import {
  CONDITIONS,
  type FrontierRow,
  latestFrontier,
  storedRow,
} from "../results/frontier_rows.ts";
import type { EdgeWindows } from "../selection/selector.ts";
import { arrange, type Arrangement } from "./arrangement.ts";
import type { FrontierMethod, MapKind } from "./methods.ts";
import { type Step, stepsOf } from "./steps.ts";
import { type MethodTimes, timeMethod, untimed } from "./time.ts";
import { type CheckedQuality, traceQuality } from "./trace_quality.ts";
import type { Truth } from "./truth.ts";

/** A trace with the maps of its heads. */
export interface MappedTrace {
  readonly truth: Truth;
  readonly maps: Readonly<Record<MapKind, LearnedMap | null>>;
  /** Tells traces and maps of the same name apart; 8 hex digits. */
  readonly dataDigest: string;
}

/** What to measure. */
export interface FrontierRun {
  readonly session: Session;
  readonly methods: readonly FrontierMethod[];
  readonly budgets: readonly number[];
  readonly kvLens: readonly number[];
  readonly shape: Shape;
  readonly windows: EdgeWindows;
  readonly traces: readonly MappedTrace[];
  /** The rows that an earlier run into the same folder has left. */
  readonly earlier: readonly FrontierRow[];
  /** Takes the new rows of a method and a length as soon as they are measured. */
  onRows(rows: readonly FrontierRow[]): void;
  /** Called with the work, the share of the whole that is done, and the milliseconds left. */
  onProgress?(message: string, fraction: number, leftMs: number): void;
}

/** What was measured. */
export interface FrontierOutcome {
  /** The rows of this run and those kept of an earlier one, in the order of the methods. */
  readonly rows: readonly FrontierRow[];
  /** Rows kept of an earlier run. */
  readonly kept: number;
  /** Methods that were left out as a whole or on a trace, each with the reason. */
  readonly leftOut: readonly string[];
  /** What checks found wrong. */
  readonly failures: readonly string[];
}

/** A method on the traces that it has a map for. */
interface Plan {
  readonly method: FrontierMethod;
  readonly traces: readonly { readonly input: MappedTrace; readonly arrangement: Arrangement }[];
  /** The map of the first of them, whose shape decides the settings of the timed step. */
  readonly map: LearnedMap | null;
  readonly kept: readonly FrontierRow[];
  readonly missing: readonly number[];
}

/** Measures what is missing. */
export async function runFrontier(run: FrontierRun): Promise<FrontierOutcome> {
  const { session, methods, kvLens } = run;
  const leftOut: string[] = [];
  const failures: string[] = [];
  const plans = methods.flatMap((method) => planOf(run, method, leftOut) ?? []);
  const work = workOf(run, plans);
  const timeLeft = new TimeLeft(work);
  const startMs = performance.now();
  let begun = 0;
  const progress = (message: string, fraction: number) => {
    const at = timeLeft.at(begun, fraction, performance.now() - startMs);
    run.onProgress?.(message, at.fraction, at.leftMs);
  };
  const rows: FrontierRow[] = [];
  let kept = 0;
  for (const plan of plans) {
    const { method } = plan;
    rows.push(...plan.kept);
    kept += plan.kept.length;
    if (plan.missing.length === 0) continue;
    const qualities = await session.guard.run(() =>
      qualitiesOf(run, plan, { leftOut, failures }, progress)
    );
    begun++;
    for (const kvLen of plan.missing) {
      const message = `${method.name} at ${kvLen} tokens`;
      progress(message, 0);
      const steps = stepsFor(run, plan, kvLen);
      const times = await session.guard.run(() =>
        timesOf(run, plan, steps, leftOut, (fraction) => {
          progress(message, Math.min(fraction, 0.99));
        })
      );
      begun++;
      if (times === null) continue;
      failures.push(...times.failures);
      const made = rowsOf(run, plan, { kvLen, steps, times, qualities });
      run.onRows(made);
      rows.push(...made);
    }
    failures.push(...qualities.flatMap((each) => each.qualities.flatMap((q) => q.failure ?? [])));
  }
  progress("done", 1);
  const order = new Map(kvLens.map((kvLen, i) => [kvLen, i]));
  rows.sort((a, b) => order.get(a.kv_len)! - order.get(b.kv_len)!);
  return { rows, kept, leftOut, failures };
}

function planOf(run: FrontierRun, method: FrontierMethod, leftOut: string[]): Plan | null {
  const { needs } = method;
  const traces = run.traces
    .map((input) => ({ input, arrangement: arrange(input.truth.trace, run.shape) }));
  const arranged = traces.filter(({ arrangement }) => arrangement.exact || !method.sharesGroup);
  if (arranged.length < traces.length) {
    const group = run.shape.qHeads / run.shape.kvHeads;
    leftOut.push(
      `${method.name}: it shares a choice among the query heads of a group, and the traces have ` +
        `other groups than the ${group} heads of the shape`,
    );
  }
  const mapped = arranged.filter(({ input }) => needs === undefined || input.maps[needs] !== null);
  const without = arranged.filter((each) => !mapped.includes(each))
    .map(({ input }) => input.truth.name);
  if (without.length > 0) {
    leftOut.push(
      `${method.name} on ${without.join(", ")}: it needs a map of the head (--${needs}s)`,
    );
  }
  if (mapped.length === 0) return null;
  const map = needs === undefined ? null : mapped[0].input.maps[needs];
  const plan = { method, traces: mapped, map };
  const done = run.kvLens.map((kvLen) => keptRows(run, plan, kvLen));
  return {
    ...plan,
    kept: done.flatMap((rows) => rows ?? []),
    missing: run.kvLens.filter((_, i) => done[i] === null),
  };
}

/**
 * The rows of an earlier run for a method and a length; null unless all of them were measured under
 * the conditions of this run.
 */
export function keptRows(
  run: Pick<FrontierRun, "session" | "earlier" | "shape" | "windows" | "budgets">,
  { method, traces }: Pick<Plan, "method" | "traces">,
  kvLen: number,
): FrontierRow[] | null {
  const conditions = conditionsOf(run);
  const rows = latestFrontier(run.earlier).filter((row) =>
    row.method === method.name && row.kv_len === kvLen &&
    CONDITIONS.every((name) => row[name] === conditions[name])
  );
  const budgets = method.withoutBudget ? [null] : run.budgets;
  const wanted = budgets.flatMap((budget) =>
    traces.map(({ input: { truth, dataDigest } }) =>
      rows.find((row) =>
        row.budget === budget && row.trace === truth.name && row.data_digest === dataDigest
      )
    )
  );
  return wanted.every((row) => row !== undefined) ? wanted : null;
}

/** The columns of the machine, the code and the settings. */
function conditionsOf(
  { session, shape, windows }: Pick<FrontierRun, "session" | "shape" | "windows">,
) {
  const { facts, settings } = session;
  return {
    shape: `${shape.qHeads}x${shape.kvHeads}x${shape.headDim}`,
    ...windows,
    layers: settings.layers,
    seed: settings.seed,
    suite_version: settings.suiteVersion,
    commit: settings.commit,
    ...facts,
  };
}

function stepsFor({ shape, budgets, windows }: FrontierRun, { method, map }: Plan, kvLen: number) {
  return stepsOf(method, map, shape, { budgets, windows, kvLen });
}

/** The qualities of a method on a trace, by step. */
interface TraceQualities {
  readonly input: MappedTrace;
  readonly qualities: readonly CheckedQuality[];
}

async function qualitiesOf(
  run: FrontierRun,
  plan: Plan,
  notes: { readonly leftOut: string[]; readonly failures: string[] },
  onProgress: (message: string, fraction: number) => void,
): Promise<TraceQualities[]> {
  const { method, traces } = plan;
  const steps = stepsFor(run, plan, run.kvLens[0]);
  const found: TraceQualities[] = [];
  for (const [i, { input, arrangement }] of traces.entries()) {
    const { truth, maps } = input;
    const map = method.needs === undefined ? null : maps[method.needs];
    const message = `${method.name} on ${truth.name}`;
    const inner = (fraction: number) => onProgress(message, (i + fraction) / traces.length);
    try {
      // The traces of a method run the same kernels, so one of them is checked.
      const given = { truth, arrangement, map, verified: i === 0 };
      const qualities = await traceQuality(run.session, method, given, steps, inner);
      found.push({ input, qualities });
    } catch (error) {
      if (error instanceof CompileError) {
        await run.session.guard.check();
        notes.failures.push(error.message.split("\n")[0]);
      } else if (error instanceof RangeError) notes.leftOut.push(`${message}: ${error.message}`);
      else throw error;
    }
  }
  return found;
}

async function timesOf(
  { session }: FrontierRun,
  { method }: Plan,
  steps: readonly Step[],
  leftOut: string[],
  onProgress: (fraction: number) => void,
): Promise<MethodTimes | null> {
  try {
    return session.facts.software
      ? untimed(session, method, steps)
      : await timeMethod(session, method, steps, onProgress);
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
    leftOut.push(`${method.name} at ${steps[0].problem.kvLen} tokens: ${error.message}`);
    return null;
  }
}

function rowsOf(
  run: FrontierRun,
  { method }: Plan,
  { kvLen, steps, times, qualities }: {
    readonly kvLen: number;
    readonly steps: readonly Step[];
    readonly times: MethodTimes;
    readonly qualities: readonly TraceQualities[];
  },
): FrontierRow[] {
  const shared = { ...conditionsOf(run), utc: new Date().toISOString() };
  const { dense } = times;
  return steps.flatMap(({ budget, problem }, i) => {
    const time = times.steps[i];
    const wrong = qualities.some((each) => each.qualities[i].failure !== null);
    if (time === null || dense === null || wrong) return [];
    return qualities.flatMap(({ input, qualities }): FrontierRow[] => {
      const { error, mass } = qualities[i];
      return [storedRow({
        method: method.name,
        budget,
        planes: method.planes,
        bytes_per_token: method.bytesPerToken(problem),
        error,
        mass,
        us: time.us,
        ratio: time.us && dense.us ? dense.us / time.us : null,
        dense_us: dense.us,
        kv_len: kvLen,
        trace: input.truth.name,
        trace_tokens: input.truth.trace.kvLen,
        queries: input.truth.trace.positions.length,
        kernel: time.kernel,
        dense_kernel: dense.kernel,
        bytes: time.bytes,
        dense_bytes: dense.bytes,
        us_low: time.usLow,
        us_high: time.usHigh,
        samples: time.samples,
        sets: time.sets,
        data_digest: input.dataDigest,
        ...shared,
      })];
    });
  });
}

/** Milliseconds of a method on a trace, for each budget; most of it compiles. */
const QUALITY_MS = { gpu: 250, software: 1500 };

/** Milliseconds to compile and check a step. */
const CHECK_MS = 500;

/** The work of a run in its order: a method's qualities, then each of its lengths. */
function workOf({ session, budgets }: FrontierRun, plans: readonly Plan[]) {
  const { facts: { software }, settings: { maxTimeMs } } = session;
  return plans.flatMap(({ method, traces, missing }) => {
    if (missing.length === 0) return [];
    const steps = method.withoutBudget ? 1 : budgets.length;
    const each = software ? QUALITY_MS.software : QUALITY_MS.gpu;
    const qualities = { checkMs: each * steps * traces.length, sampleMs: 0 };
    const timing = software
      ? { checkMs: 0, sampleMs: 1 }
      : { checkMs: CHECK_MS * (steps + 2), sampleMs: 1.4 * maxTimeMs };
    return [qualities, ...missing.map(() => timing)];
  });
}
