/** What the verdicts on mutants come to. */
import { alignColumns } from "../../bench/tables/text_table.ts";
import type { RandomMutant } from "./draw.ts";
import { EQUIVALENTS, isEquivalent } from "./equivalents.ts";
import type { Verdict } from "./messages.ts";

/** The share of mutants that must be killed. */
export const LEAST_SCORE = 0.95;

/** What became of a kernel's mutants. */
export interface KernelScore {
  readonly kernel: string;
  readonly verdicts: readonly Verdict[];
  readonly seconds: number;
}

/** Counts of some verdicts. */
export interface Counts {
  readonly mutants: number;
  readonly killed: number;
  /** Survivors that are known to be equivalent. */
  readonly equivalent: number;
  readonly survived: number;
  /** Killed of those that are not equivalent; 1 of none. */
  readonly score: number;
}

/** Counts verdicts. */
export function countsOf(verdicts: readonly Verdict[], known = EQUIVALENTS): Counts {
  const alive = verdicts.filter(({ killedBy }) => killedBy === null);
  const equivalent = alive.filter(({ mutant }) => isEquivalent(mutant, known)).length;
  const killed = verdicts.length - alive.length;
  const survived = alive.length - equivalent;
  const score = killed + survived === 0 ? 1 : killed / (killed + survived);
  return { mutants: verdicts.length, killed, equivalent, survived, score };
}

/** A table with a line for each kernel and one for all. */
export function scoreTable(scores: readonly KernelScore[], known = EQUIVALENTS): string[] {
  const lineOf = (name: string, verdicts: readonly Verdict[], seconds: number) => {
    const { mutants, killed, equivalent, survived, score } = countsOf(verdicts, known);
    const late = verdicts.filter(({ killedBy }) => killedBy === "time").length;
    const percent = `${(100 * score).toFixed(0)}%`;
    return [name, ...[mutants, killed, late, equivalent, survived].map(String), percent]
      .concat(seconds.toFixed(0));
  };
  const all = scores.flatMap(({ verdicts }) => verdicts);
  const seconds = scores.reduce((sum, { seconds }) => sum + seconds, 0);
  const headings = ["mutants", "killed", "by time", "equivalent", "survived", "score", "s"];
  return alignColumns(
    [{ heading: "kernel", words: true }, ...headings.map((heading) => ({ heading }))],
    [
      ...scores.map(({ kernel, verdicts, seconds }) => lineOf(kernel, verdicts, seconds)),
      lineOf("all", all, seconds),
    ],
  );
}

/** The lines on a survivor. */
export function survivorLines({ kernel, line, before, after }: RandomMutant): string[] {
  return [`SURVIVED: kernels/${kernel}.wgsl:${line}`, `  - ${before}`, `  + ${after}`];
}

/** The known ones that were killed: what is said of them is wrong. */
export function wrongEquivalents(
  verdicts: readonly Verdict[],
  known = EQUIVALENTS,
): RandomMutant[] {
  return verdicts.filter(({ killedBy }) => killedBy !== null)
    .map(({ mutant }) => mutant)
    .filter((mutant) => isEquivalent(mutant, known));
}
