/** The text of `--dry-run`: the cases of a run, their memory and minutes. Nothing is measured. */
import { VARIANT_FEATURES } from "../../kernels/core/registry.ts";
import { type HandOverChoice, openCheckedDevice } from "../measure/device/checked_device.ts";
import type { BenchCase } from "../cases/cases.ts";
import { eligible, type Session, SOFTWARE_INPUT_BYTES } from "../measure/session.ts";
import { counted } from "../base/counted.ts";
import { type CaseEstimate, estimateCase } from "./estimate.ts";
import type { OpenedAdapter } from "../measure/device/adapter.ts";
import type { Rotation } from "../measure/inputs/cache_rotation.ts";
import { fitColumns, rule, type TextColumn, wrapText } from "../tables/text_table.ts";

/** A case, its estimate and the kernels that this device leaves out. */
export interface PlannedCase {
  readonly name: string;
  readonly estimate: CaseEstimate;
  /** The kernels that are left out, each with the reason. */
  readonly leftOut: readonly string[];
}

/** The properties of a device that decide which kernels it runs. */
export interface DeviceFacts extends Pick<Session, "features" | "limits"> {
  readonly software: boolean;
}

/**
 * Opens a device, reads its facts and closes it again.
 *
 * @throws {UsageError} if the device fails the check of the hand-over that `handOver` names.
 */
export async function readDevice(
  adapter: OpenedAdapter,
  handOver: HandOverChoice,
): Promise<DeviceFacts> {
  const { device, features, limits } = await openCheckedDevice(adapter, VARIANT_FEATURES, handOver);
  device.destroy();
  return { features, limits, software: adapter.info.software };
}

/** The settings of a run that decide the time and memory of its cases. */
export interface PlanSettings extends Rotation {
  /** Time limit for sampling a case. */
  readonly maxTimeMs: number;
  /** Bytes of a GPU set aside for inputs. */
  readonly memoryBytes: number;
}

/** The time and memory that each case will take on a device. */
export function planCases(
  { features, limits, software }: DeviceFacts,
  cases: readonly BenchCase[],
  { hot, layers, maxTimeMs, memoryBytes }: PlanSettings,
): PlannedCase[] {
  const inputBytes = software ? SOFTWARE_INPUT_BYTES : memoryBytes;
  return cases.map(({ name, problem, variants, trace }) => {
    const facts = { features, limits };
    const { able, refused } = eligible(facts, problem, variants, !!trace);
    const settings = { limits, software, hot, layers, maxTimeMs, inputBytes };
    const estimate = estimateCase(problem, able, settings);
    return {
      name,
      estimate,
      leftOut: [...refused, ...estimate.refused].map(({ name, why }) => `${name}: ${why}`),
    };
  });
}

const COLUMNS: readonly TextColumn[] = [
  { heading: "kernels" },
  { heading: "GB" },
  { heading: "minutes" },
  { heading: "case", words: true },
];

/** The text of `--dry-run`. */
export function formatPlan(
  planned: readonly PlannedCase[],
  inputBytes: number,
  width = Infinity,
): string {
  const cells = planned.map(({ name, estimate }) => [
    String(estimate.kernels),
    gigabytes(estimate.memoryBytes),
    minutes(totalMs([estimate])),
    name,
  ]);
  const { lines } = fitColumns(COLUMNS, cells, width);
  const estimates = planned.map(({ estimate }) => estimate);
  const maxBytes = Math.max(...estimates.map(({ memoryBytes }) => memoryBytes));
  const total =
    `${counted(planned.length, "case")}: about ${minutes(totalMs(estimates))} minutes and ` +
    `at most ${
      gigabytes(maxBytes)
    } GB of buffers at once. The real time may be half or twice that. ` +
    "Rows that --out already has are not measured again.";
  const leftOut = [...new Set(planned.flatMap((each) => each.leftOut))];
  return [
    ...lines.slice(0, 1),
    rule(lines),
    ...lines.slice(1),
    "",
    ...leftOut.map((kernel) => `Left out: ${kernel}.`),
    ...wrapText([total, ...coldNote(estimates, inputBytes)].join(" "), Math.min(width, 100)),
  ].join("\n");
}

/** A sentence on cases whose steps are hot for lack of memory, if there are any. */
function coldNote(estimates: readonly CaseEstimate[], inputBytes: number): string[] {
  const lacking = estimates.filter(({ coldInputBytes }) => coldInputBytes > inputBytes);
  if (lacking.length === 0) return [];
  const most = Math.max(...lacking.map(({ coldInputBytes }) => coldInputBytes));
  return [
    `${counted(lacking.length, "case")} may have hot steps, for lack of memory: --memory ` +
    `${Math.ceil(most / 1e9)} keeps all cold.`,
  ];
}

function totalMs(estimates: readonly CaseEstimate[]): number {
  return estimates.reduce((sum, { checkMs, sampleMs }) => sum + checkMs + sampleMs, 0);
}

function minutes(ms: number): string {
  const value = Math.max(0.1, ms / 60_000);
  return value.toFixed(value < 10 ? 1 : 0);
}

function gigabytes(bytes: number): string {
  return (bytes / 1e9).toFixed(bytes < 10e9 ? 2 : 1);
}
