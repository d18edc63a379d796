/** What the comparison says in words: what was compared, on what the verdicts rest. Pure. */
import { counted } from "../base/counted.ts";
import type { Comparison, FileInfo } from "./comparison.ts";
import { METRICS } from "./metrics.ts";
import type { ErrorTally, Unpaired } from "./pairing.ts";
import { VERDICTS } from "./verdict.ts";

/** A line for each file: label, path, where and when it was measured. */
export function fileLines({ files }: Comparison): string[] {
  return files.map(({ label, path, adapter, driver, backend, commit, utc, rows }) =>
    `${label}  ${path}: ${adapter}, ${driver}, ${backend}, commit ${commit}, ${utc}, ` +
    counted(rows, "row")
  );
}

/** What the verdicts rest on, and what they do not see. */
export function basisLines(comparison: Comparison): string[] {
  const { metric, samples, limits: { samePct, driftUs } } = comparison;
  const { description, unit } = METRICS[metric];
  return [
    `Compared: ${description} (${unit}).`,
    `SAME: the ratio's 95% interval lies within the limit, ${samePct}% plus the share that ` +
    `${driftUs} us are of the base's time; FASTER, SLOWER: wholly beyond it; UNSURE: across it.`,
    `The intervals come from the samples of each run (${samples.fewest} to ${samples.most} a row) ` +
    "and do not see how runs drift apart: that is what the limit is for.",
  ];
}

/** What a reader must know before any verdict. */
export function cautionLines(
  { metric, files, cardsDiffer, fewSamples, otherParams }: Comparison,
): string[] {
  const soft = files.filter(({ software }) => software);
  return [
    ...(cardsDiffer
      ? [
        "The cards differ: " +
        (metric === "roofline"
          ? "each is measured by its own roofline."
          : "--metric roofline compares each row by the share of its own card's roofline."),
      ]
      : []),
    ...(soft.length > 0
      ? [`Measured on a software adapter, which says nothing about a GPU: ${labels(soft)}.`]
      : []),
    ...(fewSamples > 0
      ? [`Pairs with fewer than 6 samples, whose intervals hold less than 95%: ${fewSamples}.`]
      : []),
    ...(otherParams > 0 ? [`Pairs whose kernels ran with other parameters: ${otherParams}.`] : []),
  ];
}

function labels(files: readonly FileInfo[]): string {
  return files.map(({ label }) => label).join(", ");
}

/** What could not be paired: whole cases under one name each, then kernels of shared cases. */
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

function several({ name, count }: ErrorTally): string {
  return count === 1 ? name : `${name} (${count} cases)`;
}

/** One line: pairs and how many have each verdict. */
export function totalLine({ rows }: Comparison): string {
  const verdicts = rows.flatMap(({ others }) => others.flatMap((other) => other?.verdict ?? []));
  const counts = VERDICTS.map((name) => ({
    name,
    count: verdicts.filter((verdict) => verdict === name).length,
  }));
  // The first four are always of interest.
  const told = counts.filter(({ count }, i) => i < 4 || count > 0);
  return `${counted(verdicts.length, "pair")}: ${
    told.map(({ name, count }) => `${count} ${name}`).join(", ")
  }.`;
}
