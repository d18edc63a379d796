/**
 * The verdict of a run in sentences: from which measured length on the sparse step is faster than
 * dense attention, and by how much.
 */
import type { BenchCase } from "../cases/cases.ts";
import type { Comparison, Winner } from "./comparison.ts";
import { crossingOf } from "./crossing.ts";
import { QUICK_KV_LENS } from "../cases/quick.ts";
import { commandOf, withoutValues } from "../base/command.ts";
import type { ResultRow } from "../results/row.ts";
import { seriesOf } from "./series.ts";
import { type CaseGroup, caseGroups, groupNames } from "./verdict_groups.ts";

/** A command that compares sparse with dense attention on a GPU, offered on software adapters. */
export interface GpuPlan {
  readonly command: string;
  /** The KV lengths that it times, in tokens. */
  readonly kvLens: readonly number[];
}

/** The default plan. */
export const QUICKSTART_PLAN: GpuPlan = {
  command: "npx --yes deno@2.9.6 task quickstart",
  kvLens: QUICK_KV_LENS,
};

/** Flags of `bench` that name files or adapters of this machine, which another one lacks. */
const MACHINE_FLAGS = ["out", "json", "adapter", "driver"];

/**
 * The plan to measure the same cases on a GPU. A command without dense kernels or without sparse
 * steps would compare nothing on a GPU either, so it gets {@linkcode QUICKSTART_PLAN}.
 *
 * @param args The command line of `bench`.
 */
export function gpuPlan(
  cases: readonly Pick<BenchCase, "problem" | "variants">[],
  args: readonly string[],
): GpuPlan {
  const compared = cases.filter(({ variants }) =>
    ["dense", "pipeline"].every((wanted) => variants.some(({ stage }) => stage === wanted))
  );
  if (compared.length === 0) return QUICKSTART_PLAN;
  const kvLens = new Set(compared.map(({ problem }) => problem.kvLen));
  return {
    command: commandOf("bench", withoutValues(args, MACHINE_FLAGS)),
    kvLens: [...kvLens].sort((a, b) => a - b),
  };
}

/**
 * Dense kernels that follow the designs which the paper compares with, so they are not the fastest.
 */
const RIVALS: readonly string[] = ["dense/gpt_fast", "dense/token_pool"];

/** The verdicts on one device's rows. */
export interface DeviceVerdicts {
  /** Name of the device, and the facts that tell its runs from others on the same device. */
  readonly device: string;
  readonly sentences: readonly string[];
}

/**
 * Sentences on each device's rows, GPUs first: one verdict for each group of cases that differ only
 * in KV length. A device without dense kernels and whole sparse steps has none. No sentence spans
 * runs of different code, drivers or settings.
 *
 * @param plan The plan to print instead of a verdict on a software adapter.
 */
export function deviceVerdicts(
  rows: readonly ResultRow[],
  plan: GpuPlan = QUICKSTART_PLAN,
): DeviceVerdicts[] {
  const series = seriesOf(rows).toSorted((a, b) => Number(a.software) - Number(b.software));
  return series.flatMap(({ label: device, software, rows }) => {
    const groups = caseGroups(rows);
    if (groups.length === 0) return [];
    if (software) return [{ device, sentences: [softwareVerdict(plan)] }];
    const names = groupNames(groups);
    return [{ device, sentences: groups.map((group, i) => verdictOf(group, names[i])) }];
  });
}

/** The sentences of all devices. With several devices, each begins with its device's name. */
export function verdicts(rows: readonly ResultRow[], plan?: GpuPlan): string[] {
  const devices = deviceVerdicts(rows, plan);
  if (devices.length < 2) return devices.flatMap(({ sentences }) => [...sentences]);
  return devices.flatMap(({ device, sentences }) => sentences.map((text) => `${device}: ${text}`));
}

function softwareVerdict({ command, kvLens }: GpuPlan): string {
  const answer = kvLens.length === 1 ? "which is faster" : "at which of them sparse is faster";
  return "A software adapter's times say nothing about a GPU. " +
    `On a GPU, "${command}" times dense attention and the sparse step at ${tokens(kvLens)} ` +
    `and says ${answer}, and by how much.`;
}

function verdictOf(group: CaseGroup, name: string): string {
  const { compared, gaps } = group;
  const head = compared.length > 0
    ? headOf(group)
    : `Sparse and dense are not compared at ${tokens(gaps.map(({ kvLen }) => kvLen))}`;
  const notes = [tieNotes, rivalNotes, gapNotes, failedNotes].flatMap((notesOn) => notesOn(group));
  return [`${head} (${name}).`, ...notes].join(" ");
}

/** The first sentence, without the group's name and the full stop. */
function headOf({ compared, gaps }: CaseGroup): string {
  const tried = gaps.length > 0 ? "compared" : "tried";
  const last = compared[compared.length - 1];
  if (compared.length === 1) {
    return `At ${tokens([last.kvLen])}, the only length ${tried}, ${ratioText(last)}`;
  }
  const wins = lengthsOf(compared, "sparse");
  const others = lengthsOf(compared, "dense", "tie");
  // A tie is not a win, even if its median is shorter.
  const points = compared.map(({ kvLen, speedup, winner }) => (
    { kvLen, speedup: winner === "tie" ? 1 : speedup }
  ));
  const crossing = crossingOf(points)!;
  const ratio = `; at ${number(last.kvLen)} `;
  switch (crossing.kind) {
    case "always":
      return `Sparse is faster at every length ${tried} from ${tokens([crossing.fromKvLen])} on` +
        `${ratio}it is ${fasterText(last.speedup)}`;
    case "crossed":
      return `${crossedText(compared, crossing.fromKvLen, tried)}` +
        `${ratio}it is ${fasterText(last.speedup)}`;
    case "mixed":
      return `Sparse is faster at ${tokens(wins)}, but not at ${numbers(others, "or")}` +
        (last.winner === "dense" ? ratio + ratioText(last) : "");
    case "never":
      if (lengthsOf(compared, "dense").length === 0) {
        return `Neither is faster at any length ${tried}`;
      }
      return `Sparse is faster at no length ${tried}, up to ${tokens([crossing.toKvLen])}` +
        (last.winner === "dense" ? `; there ${ratioText(last)}` : "");
  }
}

/**
 * Sparse is faster from `fromKvLen` on, but not at the length before. The sentence names a crossing
 * only between a length at which dense is faster and one at which sparse is, with only ties
 * between.
 */
function crossedText(compared: readonly Comparison[], fromKvLen: number, tried: string): string {
  const before = compared.filter(({ kvLen }) => kvLen < fromKvLen);
  const early = lengthsOf(before, "sparse");
  if (early.length > 0) {
    return `Sparse is faster at ${tokens(early)} and at every length ${tried} from ` +
      `${number(fromKvLen)} on, but not at ${numbers(lengthsOf(before, "dense", "tie"), "or")}`;
  }
  const below = lengthsOf(before, "dense").at(-1);
  if (below === undefined) {
    return `Sparse is faster at every length ${tried} from ${tokens([fromKvLen])} on`;
  }
  const stays = compared[compared.length - 1].kvLen > fromKvLen
    ? ` and stays so at every longer length ${tried}`
    : "";
  return `Sparse becomes faster between ${tokens([below, fromKvLen])}${stays}`;
}

/** The faster of the two, and how many times as fast it is. */
function ratioText({ winner, speedup }: Comparison): string {
  if (winner === "tie") return "neither is faster";
  return winner === "dense"
    ? `dense is ${fasterText(1 / speedup, "sparse")}`
    : `sparse is ${fasterText(speedup, "dense")}`;
}

function tieNotes({ compared }: CaseGroup): string[] {
  const ties = lengthsOf(compared, "tie");
  if (ties.length === 0) return [];
  return [`At ${tokens(ties)} the two tie: the 95% intervals of their medians overlap.`];
}

/** Warns if only the paper's rivals stand for dense attention. */
function rivalNotes({ compared }: CaseGroup): string[] {
  const rivals = compared.filter(({ dense }) => RIVALS.includes(dense.kernel));
  return Array.from(Map.groupBy(rivals, ({ dense }) => dense.kernel), ([kernel, comparisons]) => {
    const lengths = comparisons.map(({ kvLen }) => kvLen);
    return `The fastest dense kernel timed at ${tokens(lengths)} is ${kernel}.`;
  });
}

function gapNotes({ compared, gaps }: CaseGroup): string[] {
  const reasons = Map.groupBy(gaps, ({ why }) => why);
  const namesLengths = compared.length > 0 || reasons.size > 1;
  return Array.from(
    reasons,
    ([why, gapsOfReason]) =>
      namesLengths
        ? `Nothing is compared at ${tokens(gapsOfReason.map(({ kvLen }) => kvLen))}: ${why}.`
        : `The reason: ${why}.`,
  );
}

function failedNotes({ failed }: CaseGroup): string[] {
  return Array.from(Map.groupBy(failed, ({ kernel }) => kernel), ([kernel, rows]) => {
    const lengths = [...new Set(rows.map(({ kv_len }) => kv_len))].sort((a, b) => a - b);
    return `The check of ${kernel} FAILED at ${tokens(lengths)}, so its time does not count.`;
  });
}

function lengthsOf(compared: readonly Comparison[], ...winners: Winner[]): number[] {
  return compared.filter(({ winner }) => winners.includes(winner)).map(({ kvLen }) => kvLen);
}

/** A ratio above 1 in words, to about two digits. A ratio that rounds to 1 is "barely faster". */
function fasterText(ratio: number, other?: string): string {
  if (ratio < 1.005) {
    return `barely faster${other === undefined ? "" : ` than ${other}`} (by less than 1%)`;
  }
  const digits = ratio < 1.95 ? 2 : ratio < 9.95 ? 1 : 0;
  return `${ratio.toFixed(digits)} times as fast${other === undefined ? "" : ` as ${other}`}`;
}

/** Such as `1,024, 4,096 and 16,384 tokens`. */
function tokens(lengths: readonly number[]): string {
  return `${numbers(lengths)} ${lengths.length === 1 && lengths[0] === 1 ? "token" : "tokens"}`;
}

function numbers(lengths: readonly number[], and = "and"): string {
  const texts = lengths.map(number);
  const last = texts.pop()!;
  return texts.length === 0 ? last : `${texts.join(", ")} ${and} ${last}`;
}

function number(value: number): string {
  return value.toLocaleString("en-US");
}
