/** Figures of the speedup of the sparse step over dense attention, against KV length. */
import { type Series, seriesOf } from "../../chart/chart.ts";
import type { PeerTime } from "../../findings/peers.ts";
import { type CaseTimes, caseTimes, type NamedTime } from "../../findings/ratios.ts";
import type { ResultRow } from "../../results/row.ts";
import { lineNames, sharedSettings } from "../../findings/case_names.ts";
import { micros } from "../../tables/text_table.ts";
import { decimalCell, type Figure, microsCell, ratioText, SHAPE_WORDS } from "./figure.ts";
import { tokensName } from "../../findings/case_names.ts";
import { speedupChart, type SpeedupPoint } from "./speedup_chart.ts";

/** The dense attention that the sparse step is compared with. */
interface Baseline {
  readonly id: string;
  readonly name: string;
  readonly caption: string;
  time(times: CaseTimes): NamedTime | null;
}

const BASELINES: readonly Baseline[] = [
  {
    id: "speedup-wgsl",
    name: "the fastest dense kernel here",
    caption: "Median time of the fastest dense WGSL kernel over that of the fastest whole sparse " +
      "step of the same case, timed in turns.",
    time: ({ turnDense }) => turnDense,
  },
  {
    id: "speedup-cuda",
    name: "dense attention in CUDA",
    caption:
      "Median time of the fastest dense attention of PyTorch (FlashAttention or cuDNN) over " +
      "that of the fastest whole sparse step of the same shape.",
    time: ({ cudaDense }) => cudaDense,
  },
];

interface Point extends SpeedupPoint {
  readonly dense: NamedTime;
  readonly step: NamedTime;
}

/**
 * The times of the cases of one series, labelled by line. A line joins cases that differ only in KV
 * length. If some rows have hot caches and others cold ones, the labels name the cache.
 *
 * @param lines Names of lines by case id (default: those of the rows' cases).
 */
export function lineTimes(
  rows: readonly ResultRow[],
  peers: readonly PeerTime[],
  lines: ReadonlyMap<string, string> = lineNames(rows),
): CaseTimes[] {
  const times = caseTimes(rows, peers, lines);
  const caches = new Set(times.map(({ row }) => row.cache));
  if (caches.size < 2) return times;
  return times.map((each) => {
    const cache = `, ${each.row.cache} cache`;
    // The name of a line may already end with the cache of its last case, which may differ.
    const name = each.label.replace(/, (hot|cold) cache$/, "");
    return { ...each, label: name + cache };
  });
}

/** Names of the cases whose dense kernel and sparse step were not timed in turns. */
export function casesApart(rows: readonly ResultRow[]): string[] {
  return lineTimes(rows, [])
    .filter(({ wgslDense, step, turnDense }) => wgslDense && step && !turnDense)
    .map(({ label, row }) => `${label}, ${tokensName(row.kv_len)}`);
}

/** A figure for each baseline that was measured. */
export function speedupFigures(
  rows: readonly ResultRow[],
  peers: readonly PeerTime[],
): Figure[] {
  const times = lineTimes(rows, peers);
  const caseIds = new Set(times.map(({ row }) => row.case_id));
  const settings = sharedSettings(
    rows.filter(({ case_id, stage }) => caseIds.has(case_id) && stage !== "probe"),
  );
  // All figures use the same colors, even if some baseline lacks a case.
  const series = seriesOf([...new Set(times.map(({ label }) => label))]);
  return BASELINES.flatMap((baseline) => {
    const points = times.flatMap((each) => pointOf(each, baseline));
    return points.length > 0 ? [figureOf(baseline, points, series, settings)] : [];
  });
}

function pointOf(times: CaseTimes, baseline: Baseline): Point[] {
  const { label: line, row, step } = times;
  const dense = baseline.time(times);
  if (!dense || !step) return [];
  return [{ line, kvLen: row.kv_len, speedup: dense.medianUs / step.medianUs, dense, step }];
}

function figureOf(
  { id, name, caption }: Baseline,
  points: readonly Point[],
  series: readonly Series[],
  settings: string,
): Figure {
  const legend = series.filter(({ label }) => points.some(({ line }) => line === label));
  return {
    id,
    caption:
      `${caption} Above 1 the sparse step is faster. ${settings ? `All: ${settings}. ` : ""}` +
      "Marks that would cover each other stand side by side.",
    chart: speedupChart(`Speedup over ${name}`, points, legend, `${SHAPE_WORDS}:`),
    table: {
      columns: ["KV length", "speedup", "dense us", "step us", "dense", "sparse step"],
      formats: { "speedup": ratioText, "dense us": micros, "step us": micros },
      rows: legend.flatMap(({ label }) => [
        [label],
        ...points.filter(({ line }) => line === label).map(({ kvLen, dense, step, speedup }) => [
          kvLen,
          decimalCell(speedup, 2),
          microsCell(dense.medianUs),
          microsCell(step.medianUs),
          dense.name,
          step.name,
        ]),
      ]),
    },
  };
}
