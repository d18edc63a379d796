/**
 * What a run says about sparse against dense attention, in sentences: from which measured length on
 * the sparse step is faster, and how much. Pure.
 */
import type { BenchCase } from "../cases/cases.ts";
import type { Comparison, Winner } from "./comparison.ts";
import { crossingOf } from "./crossing.ts";
import { QUICK_KV_LENS } from "../cases/quick.ts";
import { commandOf, withoutValues } from "../base/command.ts";
import type { ResultRow } from "../results/row.ts";
import { seriesOf } from "./series.ts";
import { type CaseGroup, caseGroups, groupNames } from "./verdict_groups.ts";

/** A command that would measure on a GPU what a software adapter cannot tell. */
export interface GpuPlan {
  readonly command: string;
  /** The KV lengths that it times, in tokens. */
  readonly kvLens: readonly number[];
}

/** The plan that stands where no other is known. */
export const QUICKSTART_PLAN: GpuPlan = {
  command: "npx --yes deno@2.9.6 task quickstart",
  kvLens: QUICK_KV_LENS,
};

/** Flags of the main job that tell of the machine: on another they name what is not there. */
const MACHINE_FLAGS = ["out", "json", "adapter", "driver"];

/**
 * The plan to measure the same cases on a GPU. A command that times no dense kernel or no sparse
 * step can compare nothing on a GPU either: it gets the plan that can.
 *
 * @param args The main job's command line.
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

/** Dense kernels that are as fast as the designs which the paper compares with allow, no faster. */
const RIVALS: readonly string[] = ["dense/gpt_fast", "dense/token_pool"];

/** What one device's rows come to. */
export interface DeviceVerdicts {
  /** Its name, with whatever tells its runs from others on the same device. */
  readonly device: string;
  readonly sentences: readonly string[];
}

/**
 * Sentences on each device's rows, for each group of cases that differ in KV length alone; GPUs
 * first, none where neither dense kernels nor whole sparse steps were timed. No sentence spans runs
 * of different code, drivers or settings.
 *
 * @param plan What to tell of instead, where a software adapter was timed.
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

/** The sentences of all devices, each behind its device's name where there are several. */
export function verdicts(rows: readonly ResultRow[], plan?: GpuPlan): string[] {
  const told = deviceVerdicts(rows, plan);
  if (told.length < 2) return told.flatMap(({ sentences }) => [...sentences]);
  return told.flatMap(({ device, sentences }) => sentences.map((text) => `${device}: ${text}`));
}

function softwareVerdict({ command, kvLens }: GpuPlan): string {
  const tells = kvLens.length === 1 ? "which is faster" : "at which of them sparse is faster";
  return "A software adapter's times say nothing about a GPU. " +
    `On a GPU, "${command}" times dense attention and the sparse step at ${tokens(kvLens)} ` +
    `and says ${tells}, and by how much.`;
}

function verdictOf(group: CaseGroup, name: string): string {
  const { compared, gaps } = group;
  const head = compared.length > 0
    ? headOf(group)
    : `Sparse and dense are not compared at ${tokens(gaps.map(({ kvLen }) => kvLen))}`;
  const notes = [tieNotes, rivalNotes, gapNotes, failedNotes].flatMap((tell) => tell(group));
  return [`${head} (${name}).`, ...notes].join(" ");
}

/** The first sentence, without its name and full stop. */
function headOf({ compared, gaps }: CaseGroup): string {
  const tried = gaps.length > 0 ? "compared" : "tried";
  const last = compared[compared.length - 1];
  if (compared.length === 1) {
    return `At ${tokens([last.kvLen])}, the only length ${tried}, ${ratioText(last)}`;
  }
  const wins = lengthsOf(compared, "sparse");
  const others = lengthsOf(compared, "dense", "tie");
  // A tie is no win, whatever its medians say.
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
 * Sparse is faster from `fromKvLen` on, and not right before. A crossing is named between a length
 * at which dense is faster and one at which sparse is, with nothing but ties in between.
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

/** Who is how many times as fast. */
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

/** Where nothing but the paper's rivals stands for dense attention, that must be known. */
function rivalNotes({ compared }: CaseGroup): string[] {
  const rivals = compared.filter(({ dense }) => RIVALS.includes(dense.kernel));
  return Array.from(Map.groupBy(rivals, ({ dense }) => dense.kernel), ([kernel, of]) => {
    const lengths = of.map(({ kvLen }) => kvLen);
    return `The fastest dense kernel timed at ${tokens(lengths)} is ${kernel}.`;
  });
}

function gapNotes({ compared, gaps }: CaseGroup): string[] {
  const reasons = Map.groupBy(gaps, ({ why }) => why);
  const saysWhere = compared.length > 0 || reasons.size > 1;
  return Array.from(
    reasons,
    ([why, of]) =>
      saysWhere
        ? `Nothing is compared at ${tokens(of.map(({ kvLen }) => kvLen))}: ${why}.`
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

/** How much faster a ratio above 1 is, to about two digits: a bare 1 would tell nothing. */
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
