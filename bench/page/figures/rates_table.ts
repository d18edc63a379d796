/** The table of the rates that the devices' own probes reach. */
import { CHAIN, FMA } from "../../measure/roofline.ts";
import type { ResultRow } from "../../results/row.ts";
import { micros } from "../../tables/text_table.ts";
import { decimalCell, type Table, timedRows } from "./figure.ts";
import { type Probe, probesOf } from "./roofline.ts";

/** A device and its rows. */
interface DeviceRows {
  readonly name: string;
  readonly rows: readonly ResultRow[];
}

/** A row for each device: streaming and gathering bandwidth, cost of a dispatch, arithmetic. */
export function ratesTable(devices: readonly DeviceRows[]): Table {
  const probed = devices.map(({ name, rows }) => {
    const timed = timedRows(rows);
    const only = (kernel: string) => timed.filter((row) => row.kernel === kernel);
    return {
      name,
      probes: probesOf(timed),
      dispatchUs: middle(only(CHAIN).map(({ median_us }) => median_us)),
      gflops: middle(only(FMA).flatMap(({ gflops_per_s }) => gflops_per_s ?? [])),
    };
  });
  const rowBytes = commonRowBytes(probed.map(({ probes }) => probes));
  return {
    columns: [
      "device",
      "streaming GB/s",
      `gather GB/s${rowBytes === null ? "" : ` (${rowBytes} rows)`}`,
      "dispatch us",
      "f32 GFLOP/s",
    ],
    formats: { "dispatch us": micros },
    rows: probed.map(({ name, probes, dispatchUs, gflops }) => [
      name,
      decimalCell(bestRate(probes, null), 0),
      rowBytes === null ? null : decimalCell(bestRate(probes, rowBytes), 0),
      decimalCell(dispatchUs, 2),
      decimalCell(gflops, 0),
    ]),
  };
}

/** The size of gathered rows that most devices probed, the largest of several; null for none. */
function commonRowBytes(devices: readonly (readonly Probe[])[]): string | null {
  const sizes = devices.flatMap((probes) => [
    ...new Set(probes.flatMap(({ rowBytes }) => rowBytes ?? [])),
  ]);
  const counts = Array.from(
    Map.groupBy(sizes, (size) => size),
    ([size, group]) => ({ size, count: group.length }),
  );
  counts.sort((a, b) => b.count - a.count || parseInt(b.size) - parseInt(a.size));
  return counts[0]?.size ?? null;
}

function bestRate(probes: readonly Probe[], rowBytes: string | null): number | null {
  const rates = probes.filter((probe) => probe.rowBytes === rowBytes).map(({ rate }) => rate);
  return rates.length > 0 ? Math.max(...rates) : null;
}

/** The median, the upper one of two middle values; null without values. */
function middle(values: readonly number[]): number | null {
  return values.toSorted((a, b) => a - b)[values.length >> 1] ?? null;
}
