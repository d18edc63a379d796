/** Devices side by side: their speedups, their cases and the rates of their own probes. */
import { seriesOf as chartSeries } from "../../chart/chart.ts";
import type { PeerTime } from "../../findings/peers.ts";
import type { Series } from "../../findings/series.ts";
import { micros } from "../../tables/text_table.ts";
import { lineNames, sharedSettings } from "../../findings/case_names.ts";
import { CASE_TABLE_WORDS, caseTable, type DeviceTimes } from "./case_table.ts";
import {
  decimalCell,
  type Figure,
  microsCell,
  ratioText,
  type SectionTable,
  SHAPE_WORDS,
} from "./figure.ts";
import { tokensName } from "../../findings/case_names.ts";
import { ratesTable } from "./rates_table.ts";
import { lineTimes } from "./speedup.ts";
import { speedupChart, type SpeedupPoint } from "./speedup_chart.ts";

/** The figures and tables that compare several devices, before the sections of each. */
export interface DevicesSideBySide {
  readonly figures: readonly Figure[];
  readonly tables: readonly SectionTable[];
}

/**
 * The figure and the tables of several devices.
 *
 * @param devices GPUs only, since the times of software adapters say nothing about them.
 * @param peersOf Gives the times of other software on the device of a series.
 * @param leftOut Labels of the software adapters, which the caption names as left out.
 */
export function devicesSideBySide(
  devices: readonly Series[],
  peersOf: (series: Series) => readonly PeerTime[],
  leftOut: readonly string[],
): DevicesSideBySide {
  const names = shortNames(devices.map(({ label }) => label));
  const lines = lineNames(devices.flatMap(({ rows }) => rows));
  const timed = devices.map((series, i): DeviceTimes => (
    { name: names[i], times: lineTimes(series.rows, peersOf(series), lines) }
  ));
  const cases = caseTable(timed);
  const settings = sharedSettings(
    devices.flatMap(({ rows }) => rows).filter(({ stage }) => stage === "pipeline"),
  );
  return {
    figures: speedupFigure(timed, settings, leftOut),
    tables: [
      {
        id: "devices-rates",
        title: "What each device reaches",
        caption: "Measured by the device's own probes: the fastest streaming read and gather of " +
          "random rows, the cost of one dependent dispatch, and f32 multiply-adds.",
        wide: false,
        table: ratesTable(devices.map(({ rows }, i) => ({ name: names[i], rows }))),
      },
      ...(cases.rows.length > 0
        ? [{
          id: "devices-cases",
          title: "Cases by device",
          caption: `Names of cases are ${SHAPE_WORDS}, then the KV length; ${CASE_TABLE_WORDS}`,
          wide: true,
          table: cases,
        }]
        : []),
    ],
  };
}

/** The labels without their shared parts. The adapter stays, without a vendor that all share. */
export function shortNames(labels: readonly string[]): string[] {
  const parts = labels.map((label) => label.split(", "));
  const isShared = (part: string) => parts.every((other) => other.includes(part));
  const [vendor] = labels[0]?.split(" ") ?? [];
  const adapters = new Set(parts.map(([adapter]) => adapter));
  const isVendor = adapters.size > 1 && parts.every(([name]) => name.startsWith(`${vendor} `));
  return parts.map(([adapter, ...rest]) => {
    const name = isVendor ? adapter.slice(vendor.length + 1) : adapter;
    return [name, ...rest.filter((part) => !isShared(part))].join(", ");
  });
}

interface DevicePoint extends SpeedupPoint {
  readonly label: string;
  readonly denseUs: number;
  readonly stepUs: number;
}

/** A line for each device, over the cases that most devices measured at most lengths. */
function speedupFigure(
  devices: readonly DeviceTimes[],
  settings: string,
  leftOut: readonly string[],
): Figure[] {
  const points = devices.flatMap(({ name, times }) =>
    times.flatMap(({ label, row, step, turnDense }): DevicePoint[] => {
      if (!step || !turnDense) return [];
      const [denseUs, stepUs] = [turnDense.medianUs, step.medianUs];
      return [{
        line: name,
        label,
        kvLen: row.kv_len,
        speedup: denseUs / stepUs,
        denseUs,
        stepUs,
      }];
    })
  );
  const commonest = commonestLabel(points);
  if (commonest === null) return [];
  const shown = points.filter(({ label }) => label === commonest);
  const legend = chartSeries(devices.map(({ name }) => name))
    .filter(({ label }) => shown.some(({ line }) => line === label));
  const lacking = devices.map(({ name }) => name)
    .filter((name) => shown.every(({ line }) => line !== name));
  return [{
    id: "devices-speedup",
    caption: "Median time of the fastest dense WGSL kernel over that of the fastest whole sparse " +
      "step, timed in turns, on each device. Above 1 the sparse step is faster. " +
      (settings ? `All: ${settings}. ` : "") +
      `${commonest} is ${SHAPE_WORDS}: the case measured on most devices and at most lengths; the ` +
      "table below has all cases." +
      (lacking.length > 0 ? ` It was not measured on ${lacking.join("; ")}.` : "") +
      (leftOut.length > 0
        ? ` Left out, since a software adapter's times say nothing about a GPU: ${
          leftOut.join("; ")
        }.`
        : ""),
    chart: speedupChart(
      `Speedup of the sparse step by device: ${commonest}`,
      shown,
      legend,
    ),
    table: {
      columns: ["device", "KV length", "speedup", "dense us", "step us"],
      formats: { "speedup": ratioText, "dense us": micros, "step us": micros },
      rows: shown.map(({ line, kvLen, speedup, denseUs, stepUs }) => [
        line,
        tokensName(kvLen),
        decimalCell(speedup, 2),
        microsCell(denseUs),
        microsCell(stepUs),
      ]),
    },
  }];
}

/** The label with most devices, then with most points, then the first; null without points. */
function commonestLabel(points: readonly DevicePoint[]): string | null {
  const groups = Array.from(Map.groupBy(points, ({ label }) => label), ([label, group]) => ({
    label,
    devices: new Set(group.map(({ line }) => line)).size,
    points: group.length,
  }));
  groups.sort((a, b) => b.devices - a.devices || b.points - a.points);
  return groups[0]?.label ?? null;
}
