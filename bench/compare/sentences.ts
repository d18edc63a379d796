/** The sentences of a comparison: its files, the basis of its verdicts, and its warnings. */
import { counted } from "../base/counted.ts";
import type { Comparison, FileInfo } from "./comparison.ts";
import { METRICS } from "./metrics.ts";
import type { NameCount, Unpaired } from "./pairing.ts";
import { VERDICTS, verdictWord } from "./verdict.ts";

/** A line for each file: label, path, device and time. */
export function fileLines({ files }: Comparison): string[] {
  return files.map(({ label, path, adapter, driver, backend, runtime, commit, utc, rows }) =>
    `${label}  ${path}: ${adapter}, ${driver}, ${backend}, ${runtime}, commit ${commit}, ${utc}, ` +
    counted(rows, "row")
  );
}

/** The basis of the verdicts, and its limits. */
export function basisLines(comparison: Comparison): string[] {
  const { metric, samples, limits: { samePct, driftUs } } = comparison;
  const { description, unit } = METRICS[metric];
  const [faster, slower] = (["FASTER", "SLOWER"] as const).map((each) => verdictWord(each, metric));
  return [
    `Compared: ${description} (${unit}).`,
    `SAME: the ratio's 95% interval lies within the limit, ${samePct}% plus the share of ` +
    `${driftUs} us in the base's time; ${faster}, ${slower}: wholly beyond it; UNSURE: across it.`,
    `The intervals come from the samples of each run (${samples.fewest} to ${samples.most} per ` +
    "row) and do not include drift between runs, for which the limit allows.",
  ];
}

/** The warnings that a reader must know before any verdict. */
export function cautionLines(
  { metric, files, cardsDiffer, fewSamples, otherParams, otherSets }: Comparison,
): string[] {
  const onSoftware = files.filter(({ software }) => software);
  return [
    ...(cardsDiffer
      ? [
        "The cards differ: " +
        (metric === "roofline"
          ? "each is compared by its own roofline."
          : "--metric roofline compares the rows by their shares of their own card's roofline."),
      ]
      : []),
    ...(onSoftware.length > 0
      ? [`Measured on a software adapter, which says nothing about a GPU: ${labels(onSoftware)}.`]
      : []),
    ...(fewSamples > 0
      ? [
        `Pairs with fewer than 6 samples, which give no 95% interval: ${fewSamples}.`,
      ]
      : []),
    ...(otherParams > 0
      ? [`Pairs whose kernels ran with different parameters: ${otherParams}.`]
      : []),
    ...(otherSets > 0
      ? [
        "Pairs that rotate over different numbers of inputs (--layers or --memory), where more " +
        `inputs cost more translations of addresses: ${otherSets}.`,
      ]
      : []),
  ];
}

function labels(files: readonly FileInfo[]): string {
  return files.map(({ label }) => label).join(", ");
}

/** Sums up the rows without a pair: whole cases, then kernels of shared cases. */
export function unpairedLines({ unpaired, replaced }: Comparison): string[] {
  return [
    ...unpaired.map(unpairedLine),
    ...replaced.map(({ name, count }) =>
      `Replaced in ${name} by a later row of the same kernel and case: ${counted(count, "row")}.`
    ),
  ];
}

function unpairedLine({ inFile, notInFile, rows, wholeCases, kernels }: Unpaired): string {
  const cases = wholeCases.map(({ name, count }) => `${name} (${counted(count, "row")})`);
  const parts = [
    ...(cases.length > 0 ? [`${counted(cases.length, "whole case")}: ${cases.join(", ")}`] : []),
    ...(kernels.length > 0
      ? [`${counted(kernels.length, "kernel")} of shared cases: ${kernels.map(several).join(", ")}`]
      : []),
  ];
  return `In ${inFile}, not in ${notInFile}: ${counted(rows, "row")}. ${parts.join("; ")}.`;
}

function several({ name, count }: NameCount): string {
  return count === 1 ? name : `${name} (${count} cases)`;
}

/** One line: the number of pairs, and the number with each verdict. */
export function totalLine({ rows, metric }: Comparison): string {
  const verdicts = rows.flatMap(({ others }) => others.flatMap((other) => other?.verdict ?? []));
  const counts = VERDICTS.map((name) => ({
    name,
    count: verdicts.filter((verdict) => verdict === name).length,
  }));
  // The first four are shown even if they are 0.
  const shown = counts.filter(({ count }, i) => i < 4 || count > 0);
  return `${counted(verdicts.length, "pair")}: ${
    shown.map(({ name, count }) => `${count} ${verdictWord(name, metric)}`).join(", ")
  }.`;
}
