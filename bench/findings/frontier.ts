/**
 * The frontier of methods: which steps no other step beats in both error and cost, and sentences on
 * them.
 */
import { caveatOf, MODELS } from "../../fixtures/models.ts";
import { counted } from "../base/counted.ts";
import { CONDITIONS, type FrontierRow, latestFrontier } from "../results/frontier_rows.ts";

/** The error for which the best step is named, unless another is asked for. */
export const DEFAULT_MAX_ERROR = 0.06;

/** The error of a point: the mean of several traces, or that of the worst of them. */
export type ErrorKind = "mean" | "worst";

/** What the cost of a step is: its time, or on a software adapter the bytes that it moves. */
export type CostUnit = "us" | "bytes";

/** One method at one budget and KV length, over some traces. */
export interface Point {
  readonly method: string;
  readonly budget: number | null;
  readonly planes: number | null;
  readonly bytesPerToken: number;
  /** The cost of a step; null if it has none, or its check failed. */
  readonly cost: number | null;
  /** The cost of dense attention beside it. */
  readonly denseCost: number | null;
  /** The error by kind; null if a trace has no number. */
  readonly errors: Readonly<Record<ErrorKind, number | null>>;
  /** The trace with the largest error. */
  readonly worstTrace: string;
  /** Mean over the traces of the mean mass attended; null if a trace has none. */
  readonly mass: number | null;
  readonly kernel: string;
}

/** Points that may be compared: of one machine, shape, KV length and set of traces. */
export interface PointGroup {
  readonly device: string;
  readonly shape: string;
  readonly kvLen: number;
  readonly unit: CostUnit;
  /** Names of the traces that the errors are of. */
  readonly traces: readonly string[];
  /** Traces of the run that are not among them, since some methods have no map for them. */
  readonly otherTraces: readonly string[];
  /** Methods that lack a trace of the group, and are left out. */
  readonly leftOut: readonly string[];
  /** The least and the largest number of tokens of the traces. */
  readonly traceTokens: readonly [number, number];
  readonly windows: readonly [sink: number, recent: number];
  readonly points: readonly Point[];
  /** The cost of dense attention: the median over the methods that took turns with it. */
  readonly denseCost: number | null;
}

/**
 * The groups of points of all rows. If some methods lack a map for a trace, there are two groups
 * of a KV length: all methods over the traces that they share, and the other methods over all
 * traces. So no mean is compared with one of other traces.
 */
export function pointGroups(rows: readonly FrontierRow[]): PointGroup[] {
  const latest = latestFrontier(rows);
  const measurements = Map.groupBy(
    latest,
    (row) => JSON.stringify([...CONDITIONS.map((name) => row[name]), row.kv_len]),
  );
  return [...measurements.values()].sort((a, b) => a[0].kv_len - b[0].kv_len).flatMap((rows) => {
    const traces = distinct(rows.map(({ trace }) => trace));
    const tracesOf = Map.groupBy(rows, ({ method }) => method);
    const has = (method: string, trace: string) =>
      tracesOf.get(method)!.some((row) => row.trace === trace);
    const shared = traces.filter((trace) => [...tracesOf.keys()].every((each) => has(each, trace)));
    const sets = shared.length === traces.length || shared.length === 0
      ? [traces]
      : [shared, traces];
    return sets.map((set) => groupOf(rows, set, traces));
  });
}

function groupOf(
  rows: readonly FrontierRow[],
  traces: readonly string[],
  all: readonly string[],
): PointGroup {
  const [{ adapter, software, shape, kv_len, sink, recent }] = rows;
  const unit = software ? "bytes" : "us";
  const steps = Map.groupBy(rows, ({ method, budget }) => JSON.stringify([method, budget]));
  const points: Point[] = [];
  const leftOut: string[] = [];
  for (const ofStep of steps.values()) {
    const found = traces.map((trace) => ofStep.find((row) => row.trace === trace));
    if (found.every((row) => row !== undefined)) points.push(pointOf(found, unit));
    else leftOut.push(ofStep[0].method);
  }
  const tokens = rows.filter(({ trace }) => traces.includes(trace)).map((row) => row.trace_tokens);
  const dense = points.flatMap(({ denseCost }) => denseCost ?? []).sort((a, b) => a - b);
  return {
    device: adapter,
    shape,
    kvLen: kv_len,
    unit,
    traces,
    otherTraces: all.filter((trace) => !traces.includes(trace)),
    leftOut: distinct(leftOut),
    traceTokens: [Math.min(...tokens), Math.max(...tokens)],
    windows: [sink, recent],
    points,
    denseCost: dense[Math.floor(dense.length / 2)] ?? null,
  };
}

function pointOf(rows: readonly FrontierRow[], unit: CostUnit): Point {
  const [{ method, budget, planes, bytes_per_token, us, dense_us, bytes, dense_bytes, kernel }] =
    rows;
  const errors = rows.map(({ error }) => error);
  const masses = rows.map(({ mass }) => mass);
  const known = errors.every((error) => error !== null);
  const worst = known ? Math.max(...errors) : null;
  return {
    method,
    budget,
    planes,
    bytesPerToken: bytes_per_token,
    cost: unit === "us" ? us : bytes,
    denseCost: unit === "us" ? dense_us : dense_bytes,
    errors: { mean: known ? mean(errors) : null, worst },
    worstTrace: rows[Math.max(0, errors.indexOf(worst))].trace,
    mass: masses.every((mass) => mass !== null) ? mean(masses) : null,
    kernel,
  };
}

function mean(numbers: readonly number[]): number {
  return numbers.reduce((a, b) => a + b, 0) / numbers.length;
}

function distinct<T>(values: readonly T[]): T[] {
  return [...new Set(values)];
}

/** A place between the two things to be small. */
export interface Place {
  readonly error: number | null;
  readonly cost: number | null;
}

/**
 * The places that no other one beats, by error and then by cost: none has at most their error and
 * at most their cost, and less of one of the two. Equal places stand together. A place without a
 * number in both is never among them. Dense attention, whose error is 0, beats what costs as much.
 */
export function frontierOf<T extends Place>(
  places: readonly T[],
  denseCost: number | null = null,
): T[] {
  const isNumber = (value: number | null) => value !== null && Number.isFinite(value);
  const known = places.filter(({ error, cost }) =>
    isNumber(error) && isNumber(cost)
  ) as (T & { readonly error: number; readonly cost: number })[];
  const beats = (a: typeof known[number], b: typeof known[number]) =>
    a.error <= b.error && a.cost <= b.cost && (a.error < b.error || a.cost < b.cost);
  return known
    .filter((place) => denseCost === null || place.cost < denseCost)
    .filter((place) => !known.some((other) => beats(other, place)))
    .sort((a, b) => a.error - b.error || a.cost - b.cost);
}

/** A point with one of its errors. */
export interface PlacedPoint extends Point {
  readonly error: number | null;
}

/** The points of a group by one kind of error. */
export function placed({ points }: Pick<PointGroup, "points">, kind: ErrorKind): PlacedPoint[] {
  return points.map((point) => ({ ...point, error: point.errors[kind] }));
}

/** The cheapest point whose error is at most `maxError`, and of equal ones that of least error. */
export function bestWithin(
  points: readonly PlacedPoint[],
  maxError: number,
): PlacedPoint | undefined {
  return frontierOf(points).filter(({ error }) => error! <= maxError)
    .sort((a, b) => a.cost! - b.cost! || a.error! - b.error!)[0];
}

/** `rotated-128-w2 (2 planes, k = N/32)`. */
export function stepName({ method, planes, budget }: Point): string {
  const parts = [
    ...(planes === null ? [] : [counted(planes, "plane")]),
    ...(budget === null ? [] : [`k = N/${budget}`]),
  ];
  return parts.length === 0 ? method : `${method} (${parts.join(", ")})`;
}

/** A cost with its unit: `46 us`, or `12.4 MB`. */
export function costText(cost: number, unit: CostUnit): string {
  if (unit === "us") return `${cost < 99.95 ? short(cost) : Math.round(cost)} us`;
  if (cost < 999_500) return `${short(cost / 1e3)} kB`;
  return cost < 999.5e6 ? `${short(cost / 1e6)} MB` : `${short(cost / 1e9)} GB`;
}

function short(value: number): string {
  return value < 99.95 ? String(Number(value.toPrecision(3))) : String(Math.round(value));
}

/** An error in three decimals, or two digits of a smaller one. */
export function errorText(error: number): string {
  return error >= 0.001 ? error.toFixed(3) : error.toPrecision(2);
}

/** `131,072 tokens`. */
export function tokensText(tokens: number): string {
  return `${tokens.toLocaleString("en-US")} tokens`;
}

/** Bytes of an index: `17 bytes per token and KV head`. */
export function bytesText({ bytesPerToken }: Pick<Point, "bytesPerToken">): string {
  return `${counted(Number(bytesPerToken.toPrecision(3)), "byte")} per token and KV head`;
}

/** Which errors a group has: one kind alone if it has one trace. */
export function kindsOf({ traces }: Pick<PointGroup, "traces">): ErrorKind[] {
  return traces.length === 1 ? ["mean"] : ["mean", "worst"];
}

/** `mean of 4 traces`, `worst of 4 traces`, or the name of the only trace. */
export function kindText({ traces }: Pick<PointGroup, "traces">, kind: ErrorKind): string {
  return traces.length === 1 ? traces[0] : `${kind} of ${traces.length} traces`;
}

/** The length of a group's traces: `16,384 tokens`, or `5,632 to 16,384 tokens`. */
export function traceTokensText({ traceTokens: [least, most] }: PointGroup): string {
  return least === most
    ? tokensText(least)
    : `${least.toLocaleString("en-US")} to ${tokensText(most)}`;
}

/** The sentences on a group: the best step for each kind of error, and what it means for models. */
export function frontierSentences(
  group: PointGroup,
  maxError: number,
  kinds: readonly ErrorKind[] = kindsOf(group),
): string[] {
  const { traces, unit, otherTraces } = group;
  const sentences = kinds.flatMap((kind) => {
    const best = bestWithin(placed(group, kind), maxError);
    if (best === undefined) return [noneSentence(group, kind, maxError)];
    return [bestSentence(group, kind, best, maxError), ...modelSentences(group, best)];
  });
  const notes = [
    ...(otherTraces.length > 0
      ? [
        `This is over the traces that every method has a map for: ${traces.join(", ")}.`,
      ]
      : []),
    ...(unit === "bytes"
      ? ["A software adapter says nothing about time, so the cost is the bytes that a step moves."]
      : []),
  ];
  return [...distinct(sentences), ...notes];
}

function bestSentence(
  group: PointGroup,
  kind: ErrorKind,
  best: PlacedPoint,
  maxError: number,
): string {
  const { kvLen, unit, traces } = group;
  const quality = traces.length === 1
    ? `error at most ${maxError}`
    : kind === "mean"
    ? `a mean error of at most ${maxError} over ${traces.length} traces`
    : `an error of at most ${maxError} on each of ${traces.length} traces`;
  const most = unit === "us" ? "the fastest step" : "the step that moves the fewest bytes";
  const cost = costText(best.cost!, unit);
  return `At ${tokensText(kvLen)} ${most} with ${quality} is ${stepName(best)}: ${cost}, ` +
    `${againstDense(best, unit)}; it reads ${bytesText(best)} to find tokens` +
    `${worstText(best, traces)}.`;
}

function worstText({ errors, worstTrace }: Point, traces: readonly string[]): string {
  const of = `its error is ${errorText(errors.mean!)}`;
  return traces.length === 1
    ? `, and ${of}`
    : `, ${of} in the mean and ${errorText(errors.worst!)} on ${worstTrace}`;
}

function againstDense({ cost, denseCost }: Point, unit: CostUnit): string {
  if (denseCost === null) return "with no dense attention beside it";
  const ratio = denseCost / cost!;
  const dense = costText(denseCost, unit);
  if (unit === "bytes") return `where dense attention moves ${dense}, ${times(ratio)} as many`;
  return ratio >= 1
    ? `${times(ratio)} as fast as dense (${dense})`
    : `but dense attention is faster (${dense})`;
}

function times(ratio: number): string {
  return `${ratio < 10 ? ratio.toFixed(1) : Math.round(ratio)} times`;
}

function noneSentence(group: PointGroup, kind: ErrorKind, maxError: number): string {
  const points = placed(group, kind).filter(({ error, cost }) => error !== null && cost !== null);
  const least = points.sort((a, b) => a.error! - b.error!)[0];
  const where =
    `At ${tokensText(group.kvLen)} no step has an error of at most ${maxError}, by the ` +
    `error ${group.traces.length === 1 ? "on" : "that is the"} ${kindText(group, kind)}`;
  if (least === undefined) return `${where}.`;
  const cost = costText(least.cost!, group.unit);
  return `${where}; the least is ${errorText(least.error!)}, of ${stepName(least)} (${cost}).`;
}

/** What a step means for a token of each listed model of this shape that has such a context. */
function modelSentences({ shape, kvLen, unit }: PointGroup, best: Point): string[] {
  if (unit !== "us" || best.denseCost === null || best.cost! >= best.denseCost) return [];
  const models = MODELS.filter((model) =>
    `${model.qHeads}x${model.kvHeads}x${model.headDim}` === shape && kvLen <= model.maxContext &&
    caveatOf(model) === null
  );
  const byLayers = [...Map.groupBy(models, ({ layers }) => layers)];
  if (byLayers.length === 0) return [];
  const ms = (us: number, layers: number) => `${short(us * layers / 1000)} ms`;
  const each = byLayers.map(([layers, models]) =>
    `${models.map(({ name }) => name).join(", ")} (${layers} layers) ${ms(best.cost!, layers)} ` +
    `instead of ${ms(best.denseCost!, layers)}`
  );
  return [
    `For a token of a whole model that is, in layers x step and without the weights' time: ` +
    `${each.join("; ")}.`,
  ];
}

/** What errors and times are of, for captions and the end of a run. */
export function lengthsSentence(group: PointGroup): string {
  const { kvLen, windows: [sink, recent], unit } = group;
  return `Errors are of traces of ${traceTokensText(group)}, queries of their last quarter; ` +
    `${unit === "us" ? "times" : "bytes"} are of ${tokensText(kvLen)}. Both are of the same ` +
    `budgets and windows of ${sink} first and ${recent} last tokens.`;
}
