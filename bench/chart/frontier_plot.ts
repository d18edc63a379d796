/** The chart of a frontier: the cost of each step against its error, one chart for each error. */
import * as Plot from "@observablehq/plot";
import {
  bestWithin,
  costText,
  type ErrorKind,
  errorText,
  frontierOf,
  kindsOf,
  kindText,
  lengthsSentence,
  placed,
  type PlacedPoint,
  type PointGroup,
  pointGroups,
  tokensText,
  traceTokensText,
} from "../findings/frontier.ts";
import type { FrontierRow } from "../results/frontier_rows.ts";
import { counted } from "../base/counted.ts";
import { type Chart, chartFile, MARGIN_LEFT, type Series, seriesOf } from "./chart.ts";
import { powersOf10, rangeOf } from "./log_axis.ts";
import { stackFiles } from "./stack_files.ts";

/** One chart of a group. */
export interface FrontierChart extends Chart {
  readonly group: PointGroup;
  readonly kind: ErrorKind;
  /** The best step for the error that was asked for, which a file says below its title. */
  readonly answer: string;
  /** The lengths that errors and costs are of. */
  readonly note: string;
  /** All points of the group by that error, those without a number too. */
  readonly points: readonly PlacedPoint[];
}

/** A point that the chart can show. */
type Shown = PlacedPoint & {
  readonly error: number;
  readonly cost: number;
  readonly family: string;
};

/** Errors below this are drawn here: a logarithmic axis has no 0. */
const LEAST_ERROR = 0.001;

const HEIGHT = 380;

/** The largest radius of a mark, of a method that reads whole keys. */
const LARGEST_RADIUS = 17;

const MOST_BYTES = 256;

/** The radius of a mark, whose area grows with the bytes; one of no bytes is still seen. */
function radiusOf(bytesPerToken: number): number {
  return Math.max(
    2.5,
    LARGEST_RADIUS * Math.sqrt(Math.min(bytesPerToken, MOST_BYTES) / MOST_BYTES),
  );
}

/** The methods that share a color: `rotated-128` of `rotated-128-w2`. */
function familyOf(method: string): string {
  return method.replace(/-(w\d|4bit|\d+)$/, "").replace(/-128$/, "");
}

/** The charts of all rows, by KV length: of the mean error and of the worst trace's. */
export function frontierCharts(rows: readonly FrontierRow[], maxError: number): FrontierChart[] {
  // A method has one color in all charts, although some leave it out.
  const families = seriesOf([...new Set(rows.map(({ method }) => familyOf(method)))])
    .map((series): Series => ({ ...series, symbol: "circle" }));
  return pointGroups(rows).flatMap((group) =>
    kindsOf(group).map((kind) => chartOf(group, kind, maxError, families))
  );
}

function chartOf(
  group: PointGroup,
  kind: ErrorKind,
  maxError: number,
  all: readonly Series[],
): FrontierChart {
  const { unit, kvLen } = group;
  const points = placed(group, kind);
  const shown = points.flatMap((point): Shown[] =>
    point.error !== null && point.cost !== null
      ? [{
        ...point,
        error: Math.max(point.error, LEAST_ERROR),
        cost: point.cost,
        family: familyOf(point.method),
      }]
      : []
  );
  const frontier = frontierOf(shown, group.denseCost);
  const rungs = rungsOf(frontier, maxError);
  const best = bestWithin(points, maxError);
  const families = all.filter(({ label }) => shown.some(({ family }) => family === label));
  const what = unit === "us" ? "Time" : "Bytes moved";
  const answer = answerOf(group, best, maxError);
  return {
    group,
    kind,
    points,
    title: `${what} against error at ${tokensText(kvLen)}: ${kindText(group, kind)}`,
    answer,
    note: noteOf(group),
    description: `${what} of each step against its error. The larger a mark, the more bytes the ` +
      `step reads per token to find tokens. ${lengthsSentence(group)}`,
    legendHeading:
      `The ${unit === "us" ? "fastest step" : "step that moves fewest bytes"} for an ` +
      "error, and bytes it reads per token and KV head",
    legend: [
      ...rungs.map(({ most, point }, i): Series => ({
        ...seriesOfFamily(families, point.family),
        label: `${i + 1} ≤ ${shortError(most)}: ${shortName(point)}, ${
          costText(point.cost, unit)
        }, ${bytesOf(point)}`,
      })),
      ...(group.denseCost === null
        ? []
        : [{ ...DENSE, label: `dense attention: ${costText(group.denseCost, unit)}` }]),
      ...families.filter(({ label }) => rungs.every(({ point }) => point.family !== label)),
    ],
    options: optionsOf(group, { shown, frontier, rungs, families, best, maxError }),
  };
}

/** The lengths that errors and costs are of, and which methods are shown if not all are. */
function noteOf(group: PointGroup): string {
  const { unit, kvLen, otherTraces, leftOut } = group;
  const lengths = `errors of ${traceTokensText(group)}, ${unit === "us" ? "times" : "bytes"} of ` +
    tokensText(kvLen);
  if (otherTraces.length > 0) return `${lengths}: all methods, traces with maps`;
  return leftOut.length > 0 ? `${lengths}: methods without a map` : lengths;
}

/** The best step for an error, in a line. */
function answerOf(
  { unit, denseCost }: PointGroup,
  best: PlacedPoint | undefined,
  maxError: number,
): string {
  if (best === undefined) return `no step has an error of at most ${maxError}`;
  const dense = denseCost === null ? "" : ` (dense ${costText(denseCost, unit)})`;
  if (denseCost !== null && best.cost! >= denseCost) {
    return `within ${maxError} no step beats dense attention${dense}`;
  }
  return `within ${maxError} ${unit === "us" ? "the fastest" : "the fewest"}${dense} is ` +
    `${shortName(best)}, ${costText(best.cost!, unit)}, ` +
    `${counted(Number(best.bytesPerToken.toPrecision(3)), "byte")} per token and KV head`;
}

/** The errors for which the legend names the best step, beside the one that was asked for. */
const LADDER: readonly number[] = [0.01, 0.02, 0.03, 0.05, 0.1, 0.15, 0.2, 0.3, 0.5];

/** The best step for an error. */
interface Rung {
  /** The largest error allowed. */
  readonly most: number;
  readonly point: Shown;
}

/** The best step for each error of the ladder; a step that is the best for several has one rung. */
function rungsOf(frontier: readonly Shown[], maxError: number): Rung[] {
  const errors = [maxError, ...LADDER.filter((error) => error !== maxError)];
  const best = errors.flatMap((most): Rung[] => {
    const point = frontier.findLast(({ error }) => error <= most);
    return point === undefined ? [] : [{ most, point }];
  });
  // The error that was asked for comes first, so that its rung is the one that stays.
  return best.filter(({ point }, i) => best.findIndex((rung) => rung.point === point) === i)
    .sort((a, b) => a.most - b.most);
}

const DENSE: Series = { label: "dense", color: "#7c858d", symbol: "circle", dashes: "6 4" };

function seriesOfFamily(families: readonly Series[], family: string): Series {
  return families.find(({ label }) => label === family)!;
}

/** `.06`. */
function shortError(error: number): string {
  return String(error).replace(/^0/, "");
}

/** `pq-8 N/32`. */
function shortName({ method, budget }: Pick<PlacedPoint, "method" | "budget">): string {
  return budget === null ? method : `${method} N/${budget}`;
}

function bytesOf({ bytesPerToken }: Pick<PlacedPoint, "bytesPerToken">): string {
  return `${Number(bytesPerToken.toPrecision(3))} B`;
}

function optionsOf(
  { unit, denseCost }: PointGroup,
  { shown, frontier, rungs, families, best, maxError }: {
    readonly shown: readonly Shown[];
    readonly frontier: readonly Shown[];
    readonly rungs: readonly Rung[];
    readonly families: readonly Series[];
    readonly best: PlacedPoint | undefined;
    readonly maxError: number;
  },
): Plot.PlotOptions {
  const costs = [...shown.map(({ cost }) => cost), ...(denseCost === null ? [] : [denseCost])];
  const errors = [...shown.map(({ error }) => error), Math.max(maxError, LEAST_ERROR)];
  const bytes = unit === "bytes";
  const onFrontier = new Set(frontier);
  const chosen = frontier.filter((point) =>
    best !== undefined && point.method === best.method && point.budget === best.budget
  );
  const color = { domain: families.map(({ label }) => label), range: families.map((s) => s.color) };
  const dots = (points: readonly Shown[], opacity: number) =>
    Plot.dot(points, {
      x: "error",
      y: "cost",
      r: (point: Shown) => radiusOf(point.bytesPerToken),
      fill: "family",
      fillOpacity: opacity,
      stroke: "family",
      strokeOpacity: Math.min(1, 2 * opacity),
      title: (point: Shown) =>
        `${shortName(point)}: ${costText(point.cost, unit)}, error ${errorText(point.error)}, ` +
        `${bytesOf(point)}`,
    });
  return {
    height: HEIGHT,
    marginLeft: MARGIN_LEFT + 6,
    color,
    // Radii are pixels.
    r: { type: "identity" },
    x: {
      type: "log",
      label: "error (the larger a mark, the more bytes a token)",
      domain: rangeOf(errors),
      ticks: ticksIn(rangeOf(errors)),
      tickFormat: (value: number) => String(value).replace(/^0/, ""),
      grid: true,
    },
    y: {
      type: "log",
      label: bytes ? "bytes that a step moves" : "time of a step, us",
      domain: rangeOf(costs),
      ticks: ticksIn(rangeOf(costs)),
      tickFormat: (value: number) => bytes ? costText(value, unit) : String(value),
      grid: true,
    },
    marks: [
      Plot.lineY(shown.toSorted((a, b) => a.error - b.error), {
        x: "error",
        y: "cost",
        z: "method",
        stroke: "family",
        strokeWidth: 1,
        strokeOpacity: 0.35,
      }),
      dots(shown.filter((point) => !onFrontier.has(point)), 0.25),
      ...(denseCost === null ? [] : [
        Plot.ruleY([denseCost], { stroke: DENSE.color, strokeDasharray: DENSE.dashes }),
        Plot.text([denseCost], {
          y: denseCost,
          frameAnchor: "right",
          textAnchor: "end",
          dx: -2,
          dy: -8,
          text: (cost: number) => `dense ${costText(cost, unit)}`,
        }),
      ]),
      Plot.ruleX([Math.max(maxError, LEAST_ERROR)], { stroke: "currentColor", strokeWidth: 1 }),
      Plot.text([maxError], {
        x: Math.max(maxError, LEAST_ERROR),
        frameAnchor: "top",
        text: (value: number) => `error ${value}`,
        textAnchor: "start",
        dx: 4,
        dy: 4,
      }),
      Plot.lineY(frontier, {
        x: "error",
        y: "cost",
        stroke: "currentColor",
        strokeWidth: 1.5,
        curve: "step-after",
      }),
      dots(frontier, 0.9),
      Plot.dot(chosen, {
        x: "error",
        y: "cost",
        r: (point: Shown) => radiusOf(point.bytesPerToken) + 4,
        stroke: "currentColor",
        strokeWidth: 2,
      }),
      Plot.text(rungs.map(({ point }) => point), {
        x: "error",
        y: "cost",
        text: (_: Shown, i: number) => String(i + 1),
        fontWeight: "bold",
        textAnchor: "end",
        dx: -7,
        dy: 12,
      }),
    ],
  };
}

/** Round numbers within a range, more of them the narrower it is. */
function ticksIn([low, high]: readonly [number, number]): number[] {
  const steps = high / low < 10 ? [1, 1.5, 2, 3, 4, 5, 7] : [1, 2, 5];
  const powers = powersOf10([low / 10, high]);
  return powers.flatMap((power) => steps.map((step) => Number((step * power).toPrecision(3))))
    .filter((value) => value >= low && value <= high);
}

/** The figures as files by their names: one for each shape and KV length. */
export function frontierSvgs(rows: readonly FrontierRow[], maxError: number): [string, string][] {
  const charts = frontierCharts(rows, maxError);
  const files = Map.groupBy(charts, ({ group: { kvLen } }) => `frontier-${kvLen}`);
  return Array.from(files, ([name, ofLength]) => [
    name,
    stackFiles(
      ofLength.map((chart) =>
        chartFile({ ...chart, title: `${chart.title}: ${chart.note}: ${chart.answer}` })
      ),
    ),
  ]);
}
