/** Survivors that somebody looked at. */
import equivalents from "../equivalent_mutants.json" with { type: "json" };
import type { RandomMutant } from "./draw.ts";

/** A survivor that is no gap in the tests. It is known by its text, since lines move. */
export interface EquivalentMutant {
  readonly kernel: string;
  readonly before: string;
  readonly after: string;
  /** One sentence: why no test could tell, or why nothing is lost. */
  readonly why: string;
}

/** Those that are known. */
export const EQUIVALENTS: readonly EquivalentMutant[] = equivalents;

/** Whether a mutant is known to be equivalent. */
export function isEquivalent(
  { kernel, before, after }: RandomMutant,
  known: readonly EquivalentMutant[] = EQUIVALENTS,
): boolean {
  return known.some((one) => one.kernel === kernel && one.before === before && one.after === after);
}

/** The known ones of a kernel whose line is gone from its text: nobody needs them any more. */
export function staleEquivalents(
  kernel: string,
  source: string,
  known: readonly EquivalentMutant[] = EQUIVALENTS,
): EquivalentMutant[] {
  const lines = new Set(source.split("\n").map((line) => line.trim()));
  return known.filter((one) => one.kernel === kernel && !lines.has(one.before));
}
