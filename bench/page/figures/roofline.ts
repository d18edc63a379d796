/** The roofline of memory: the bandwidth of each kernel below that of the device's own probes. */
import * as Plot from "@observablehq/plot";
import type { Stage } from "../../../kernels/core/variant.ts";
import type { Series } from "../../chart/chart.ts";
import { powersOf10, rangeOf } from "../../chart/log_axis.ts";
import type { ResultRow } from "../../results/row.ts";
import { caseName, lineNames } from "../../findings/case_names.ts";
import { decimalCell, type Figure, microsCell, type TimedRow, timedRows } from "./figure.ts";
import { seriesAmong, stageSeries } from "./stage_series.ts";

/** The stages that are bound by memory; those of the prompt are bound by arithmetic. */
const MEMORY_BOUND: readonly Stage[] = [
  ...["encode_query", "encode_append", "score", "select", "attend", "merge"] as const,
  ...["pipeline", "dense", "rival"] as const,
];

/** Dashes of the lines of probes, used in turn. */
const DASHES = ["none", "6 3", "2 3"];

/** A probe of memory at one size. */
export interface Probe {
  readonly label: string;
  /** Bytes of a gathered row, such as `256 B`; null for a streaming read. */
  readonly rowBytes: string | null;
  readonly bytes: number;
  readonly rate: number;
}

/** The figure of rates against bytes, if the device was probed. */
export function rooflineFigures(rows: readonly ResultRow[]): Figure[] {
  const timed = timedRows(rows);
  const probes = probesOf(timed);
  const kernels = timed.filter(({ stage, gbytes_per_s }) =>
    MEMORY_BOUND.includes(stage) && gbytes_per_s
  );
  return probes.length > 0 && kernels.length > 0 ? [figureOf(rows, kernels, probes)] : [];
}

/** A point for each probe of memory: the median of its rates over the cases. */
export function probesOf(timed: readonly TimedRow[]): Probe[] {
  const probes = timed.filter(({ stage, kernel, gbytes_per_s }) =>
    stage === "probe" && gbytes_per_s && /^probe\/(stream|gather) /.test(kernel)
  );
  return Array.from(Map.groupBy(probes, ({ kernel }) => kernel), ([kernel, rows]) => {
    const rates = rows.map(({ gbytes_per_s }) => gbytes_per_s!).sort((a, b) => a - b);
    const rowBytes = kernel.match(/ of (.+)$/)?.[1] ?? null;
    return {
      rowBytes,
      label: rowBytes ? `probe: gather of ${rowBytes} rows` : "probe: streaming read",
      bytes: rows[0].bytes,
      rate: rates[rates.length >> 1],
    };
  }).sort((a, b) => a.bytes - b.bytes);
}

function figureOf(
  rows: readonly ResultRow[],
  kernels: readonly TimedRow[],
  probes: readonly Probe[],
): Figure {
  const lines = lineNames(rows);
  const color = ({ stage }: ResultRow) => stageSeries(stage).color;
  const roofs = [...new Set(probes.map(({ label }) => label))].map((label, i): Series => ({
    label,
    color: "currentColor",
    symbol: "circle",
    dashes: DASHES[i % DASHES.length],
  }));
  const top = Math.max(...probes.map(({ rate }) => rate));
  const bytes = [...kernels, ...probes].map(({ bytes }) => bytes);
  const rates = [...kernels.map((row) => row.gbytes_per_s!), ...probes.map(({ rate }) => rate)];
  return {
    id: "roofline",
    caption: "The least bytes that a step must move, over its median time. The lines are the " +
      "device's own probes at that size: a streaming read, and a gather of rows. A kernel on a " +
      "line runs as fast as memory allows; several dispatches, or arithmetic, keep a kernel below " +
      "it. Point at a mark to see its kernel and case.",
    chart: {
      title: "Roofline of memory",
      description:
        `Rates in GB/s of ${kernels.length} kernels against the bytes they move, below ` +
        `probes that reach ${top.toFixed(0)} GB/s; the table holds the numbers.`,
      legend: [...roofs, ...seriesAmong(kernels)],
      options: {
        height: 360,
        marginLeft: 60,
        x: {
          type: "log",
          label: "bytes moved in a step",
          domain: rangeOf(bytes),
          tickFormat: bytesName,
          ticks: powersOf10(bytes),
          insetLeft: 8,
        },
        y: {
          type: "log",
          label: "GB/s",
          domain: rangeOf(rates),
          grid: true,
          tickFormat: (v: number) => String(v),
          ticks: powersOf10(rates),
        },
        marks: [
          ...roofs.map(({ label, dashes }) =>
            Plot.lineY(probes.filter((probe) => probe.label === label), {
              x: "bytes",
              y: "rate",
              strokeWidth: 1.5,
              strokeDasharray: dashes,
            })
          ),
          Plot.dot(kernels, {
            x: "bytes",
            y: "gbytes_per_s",
            r: 3.5,
            fillOpacity: 0.55,
            fill: color,
            stroke: color,
            symbol: ({ stage }: TimedRow) => stageSeries(stage).symbol,
            title: (row: TimedRow) =>
              `${row.kernel}, ${caseName(row, lines)}: ${decimalCell(row.gbytes_per_s, 1)} GB/s, ` +
              `${microsCell(row.median_us)} us`,
          }),
        ],
        color: { type: "identity" },
        symbol: { type: "identity" },
      },
    },
    table: {
      columns: ["kernel or probe", "GB/s", "% of roofline", "us", "bytes", "case"],
      rows: [
        ...probes.map(({ label, bytes, rate }) => [
          label,
          decimalCell(rate, 1),
          null,
          microsCell(bytes / rate / 1e3),
          bytes,
          null,
        ]),
        ...kernels.map((row) => [
          row.kernel,
          decimalCell(row.gbytes_per_s, 1),
          // Probes of a software adapter give no usable roofline.
          row.software ? null : decimalCell(row.roofline_pct, 1),
          microsCell(row.median_us),
          row.bytes,
          caseName(row, lines),
        ]),
      ],
    },
  };
}

function bytesName(bytes: number): string {
  const units = ["B", "kB", "MB", "GB"];
  const power = Math.min(3, Math.max(0, Math.floor(Math.log10(bytes) / 3 + 1e-9)));
  return `${Number((bytes / 1000 ** power).toPrecision(3))} ${units[power]}`;
}
