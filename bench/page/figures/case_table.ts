/** The table of cases: dense attention and the sparse step of each device, side by side. */
import { type Crossing, crossingOf } from "../../findings/crossing.ts";
import type { CaseTimes, NamedTime } from "../../findings/ratios.ts";
import { micros } from "../../tables/text_table.ts";
import { decimalCell, microsCell, ratioText, type Table, type TableCell } from "./figure.ts";
import { tokensName } from "../../findings/case_names.ts";

/** A device with the times of its cases; a case has the same label on all devices. */
export interface DeviceTimes {
  readonly name: string;
  readonly times: readonly CaseTimes[];
}

/** A case whose dense kernels and sparse steps were timed in turns. */
type ComparedTimes = CaseTimes & {
  readonly step: NonNullable<CaseTimes["step"]>;
  readonly turnDense: NamedTime;
};

/** The caption that explains the table's columns. */
export const CASE_TABLE_WORDS =
  "dense and step are the medians of the fastest dense kernel and of " +
  "the fastest whole sparse step, in microseconds; ratio is dense over step, above 1 where sparse " +
  "is faster; % of roofline is the time that the device's own probes allow, over the step's. " +
  '"Sparse wins" covers measured lengths only: all of them, or those from the first length after ' +
  "one at which sparse is not faster; a tie, where the 95% intervals overlap, is not a win; " +
  '"yes" and "no" mean that one length was measured.';

/**
 * The cases that can be compared. With one device, a row is a KV length under the heading of its
 * line; with several devices, a row is a device under the heading of its case.
 */
export function caseTable(devices: readonly DeviceTimes[]): Table {
  const compared = devices.map(({ name, times }) => ({ name, times: times.filter(isCompared) }));
  const all = compared.flatMap(({ times }) => times);
  const labels = [...new Set(all.map(({ label }) => label))];
  const hasCuda = all.some(({ cudaDense }) => cudaDense);
  const cells = (line: readonly ComparedTimes[], each: ComparedTimes): TableCell[] => [
    microsCell(each.turnDense.medianUs),
    microsCell(each.step.medianUs),
    decimalCell(each.turnDense.medianUs / each.step.medianUs, 2),
    each.step.rooflineUs === null
      ? null
      : decimalCell(each.step.rooflineUs / each.step.medianUs * 100, 0),
    crossingText(line),
    ...(hasCuda ? [each.cudaDense && decimalCell(over(each.cudaDense, each.step), 2)] : []),
  ];
  return {
    formats: {
      "dense us": micros,
      "step us": micros,
      "ratio": ratioText,
      "ratio to CUDA": ratioText,
    },
    columns: [
      devices.length > 1 ? "device" : "KV length",
      "dense us",
      "step us",
      "ratio",
      "% of roofline",
      "sparse wins",
      ...(hasCuda ? ["ratio to CUDA"] : []),
    ],
    rows: labels.flatMap((label) => {
      const lines = compared.map(({ name, times }) => (
        { name, line: times.filter((each) => each.label === label) }
      ));
      if (devices.length === 1) {
        const [{ line }] = lines;
        const rows = byLength(line)
          .map((each) => [tokensName(each.row.kv_len), ...cells(line, each)]);
        return [[label], ...rows];
      }
      const kvLens = lines.flatMap(({ line }) => line.map(({ row }) => row.kv_len));
      return [...new Set(kvLens)].sort((a, b) => a - b).flatMap((kvLen) => [
        [`${label}, ${tokensName(kvLen)}`],
        ...lines.flatMap(({ name, line }) =>
          line.filter(({ row }) => row.kv_len === kvLen)
            .map((each) => [name, ...cells(line, each)])
        ),
      ]);
    }),
  };
}

function isCompared(times: CaseTimes): times is ComparedTimes {
  return times.step !== null && times.turnDense !== null;
}

function byLength<T extends CaseTimes>(line: readonly T[]): T[] {
  return [...line].sort((a, b) => a.row.kv_len - b.row.kv_len);
}

function over(one: NamedTime, other: NamedTime): number {
  return one.medianUs / other.medianUs;
}

/** The lengths of a line at which the sparse step is faster, in a few words. */
function crossingText(line: readonly ComparedTimes[]): string {
  // A tie is not a win, even if its medians differ.
  const crossing = crossingOf(line.map(({ row, turnDense, step, isTie }) => (
    { kvLen: row.kv_len, speedup: isTie ? 1 : over(turnDense, step) }
  )));
  const isSingle = new Set(line.map(({ row }) => row.kv_len)).size === 1;
  return crossing === null ? "" : wordsOf(crossing, isSingle);
}

function wordsOf(crossing: Crossing, isSingle: boolean): string {
  switch (crossing.kind) {
    case "crossed":
      return `from ${tokensName(crossing.fromKvLen)}`;
    case "always":
      return isSingle ? "yes" : "all lengths";
    case "never":
      return isSingle ? "no" : "no length";
    case "mixed":
      return `not at ${tokensName(crossing.toKvLen)}`;
  }
}
