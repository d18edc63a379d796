/** Survivors that somebody looked at. */
import equivalents from "./equivalent_mutants.json" with { type: "json" };
import { lineAbove, type RandomMutant } from "./draw.ts";

/** A survivor that is no gap in the tests. It is known by texts, since lines move. */
export interface EquivalentMutant {
  readonly kernel: string;
  readonly above: string;
  readonly before: string;
  readonly after: string;
  /** One sentence: why no test could tell, or why nothing is lost. */
  readonly why: string;
}

/** Those that are known. */
export const EQUIVALENTS: readonly EquivalentMutant[] = equivalents;

/** Whether a mutant is known to be equivalent. */
export function isEquivalent(
  { kernel, above, before, after }: RandomMutant,
  known: readonly EquivalentMutant[] = EQUIVALENTS,
): boolean {
  return known.some((one) =>
    one.kernel === kernel && one.above === above && one.before === before && one.after === after
  );
}

/** The known ones of a kernel whose line is gone from its text: nobody needs them any more. */
export function staleEquivalents(
  kernel: string,
  source: string,
  known: readonly EquivalentMutant[] = EQUIVALENTS,
): EquivalentMutant[] {
  const lines = source.split("\n");
  const isThere = ({ above, before }: EquivalentMutant) =>
    lines.some((text, at) => text.trim() === before && lineAbove(lines, at + 1) === above);
  return known.filter((one) => one.kernel === kernel && !isThere(one));
}
