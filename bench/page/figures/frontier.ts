/** Figures of error against time, from the CSV of `frontier`. */
import { frontierCharts } from "../../chart/frontier_plot.ts";
import {
  type ErrorKind,
  frontierSentences,
  lengthsSentence,
  type PlacedPoint,
  type PointGroup,
  pointGroups,
} from "../../findings/frontier.ts";
import { CONDITIONS, type FrontierRow } from "../../results/frontier_rows.ts";
import type { DeviceVerdicts } from "../../findings/verdict.ts";
import {
  decimalCell,
  type Figure,
  microsCell,
  ratioText,
  type Section,
  type Table,
} from "./figure.ts";

/** The rows of `frontier`, and the error for which the best step is named. */
export interface FrontierData {
  readonly rows: readonly FrontierRow[];
  readonly maxError: number;
}

/** A section for each device and shape, with a figure for each length and kind of error. */
export function frontierSections({ rows, maxError }: FrontierData): Section[] {
  const groups = Map.groupBy(rows, (row) => JSON.stringify(CONDITIONS.map((name) => row[name])));
  return [...groups.values()].map((ofDevice): Section => {
    const [{ adapter, software, shape, driver, commit, sink, recent }] = ofDevice;
    return {
      heading: `Error against ${software ? "bytes moved" : "time"}, ${shape} on ${adapter}`,
      facts: [
        ["Device", adapter],
        ["Driver", driver],
        ["Commit", commit],
        ["Shape", `${shape} (query heads x KV heads x head dim)`],
        ["Windows (sink + recent)", `${sink} + ${recent}`],
        ["Traces", [...new Set(ofDevice.map(({ trace }) => trace))].join("; ")],
      ],
      warning: software
        ? "A software adapter says nothing about time: the cost of a step is the bytes that it moves."
        : null,
      tables: [],
      figures: frontierCharts(ofDevice, maxError).map((
        { group, kind, points, ...chart },
      ): Figure => ({
        id: `frontier-${group.kvLen}-${kind}${group.otherTraces.length > 0 ? "-mapped" : ""}`,
        caption: captionOf(group, kind, maxError).join(" "),
        chart,
        table: tableOf(group, points),
      })),
    };
  });
}

/** What begins a page: the best steps at the longest length of each device. */
export function frontierLeads({ rows, maxError }: FrontierData): DeviceVerdicts[] {
  const groups = Map.groupBy(pointGroups(rows), ({ device, shape }) => `${device}, ${shape}`);
  return Array.from(groups, ([device, ofDevice]) => {
    const longest = Math.max(...ofDevice.map(({ kvLen }) => kvLen));
    const sentences = ofDevice.filter(({ kvLen }) => kvLen === longest)
      .flatMap((group) => frontierSentences(group, maxError));
    return { device, sentences: [sentences.join(" ")] };
  });
}

function captionOf(group: PointGroup, kind: ErrorKind, maxError: number): string[] {
  const { leftOut, otherTraces } = group;
  return [
    ...frontierSentences(group, maxError, [kind]),
    lengthsSentence(group),
    ...(leftOut.length > 0
      ? [`Left out, without a map for each of these traces: ${leftOut.join(", ")}.`]
      : []),
    ...(otherTraces.length > 0 ? [`Not among the traces: ${otherTraces.join(", ")}.`] : []),
  ];
}

function tableOf({ unit, traces }: PointGroup, points: readonly PlacedPoint[]): Table {
  const cost = unit === "us" ? "us" : "bytes moved";
  return {
    columns: [
      ...["method", "k = N over", "planes", "bytes per token", "error, mean"],
      ...(traces.length > 1 ? ["error, worst", "worst trace"] : []),
      ...["mass", cost, "dense over it", "kernel"],
    ],
    rows: points.map((point) => [
      ...[point.method, point.budget, point.planes, decimalCell(point.bytesPerToken, 2)],
      decimalCell(point.errors.mean, 4),
      ...(traces.length > 1 ? [decimalCell(point.errors.worst, 4), point.worstTrace] : []),
      decimalCell(point.mass, 3),
      unit === "us" ? microsCell(point.cost) : point.cost,
      point.cost && point.denseCost ? point.denseCost / point.cost : null,
      point.kernel,
    ]),
    formats: { "dense over it": ratioText },
  };
}
