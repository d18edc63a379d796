/** Random mutants of a kernel: one change each, of sites drawn from a seed. */
import { createRandom } from "../../fixtures/random.ts";
import { mutationSites, replaced } from "./sites.ts";

/** A kernel with one change. */
export interface RandomMutant {
  readonly kernel: string;
  /** Number of the changed line, from 1. */
  readonly line: number;
  /** The line before that, empty ones skipped, without its indent: it tells equal lines apart. */
  readonly above: string;
  /** The changed line without its indent. */
  readonly before: string;
  readonly after: string;
}

/** A mutant with its text. */
export interface DrawnMutant extends RandomMutant {
  readonly source: string;
}

/**
 * One mutant of every site of a text, in an order and with changes that the seed decides: the first
 * n are n sites drawn uniformly, and what does not compile is followed by the next. Each kernel has
 * a stream of its own, so its mutants do not depend on which others are mutated.
 */
export function drawMutants(kernel: string, source: string, seed: number): DrawnMutant[] {
  const random = createRandom(seed, streamOf(kernel));
  const sites = mutationSites(source);
  for (let left = sites.length; left > 1; left--) {
    const at = random.below(left);
    [sites[at], sites[left - 1]] = [sites[left - 1], sites[at]];
  }
  return sites.map(({ at, text, options }) => {
    const mutated = replaced(source, at, text, options[random.below(options.length)]);
    const line = source.slice(0, at).split("\n").length;
    const lineOf = (whole: string) => whole.split("\n")[line - 1].trim();
    const above = lineAbove(source.split("\n"), line);
    return { kernel, line, above, before: lineOf(source), after: lineOf(mutated), source: mutated };
  });
}

/** The last line before line number `line` that is not empty, without its indent. */
export function lineAbove(lines: readonly string[], line: number): string {
  return lines.slice(0, line - 1).map((text) => text.trim()).findLast((text) => text !== "") ?? "";
}

/** A number of a kernel's own: the 32-bit FNV-1a hash of its name. */
function streamOf(name: string): number {
  const bytes = new TextEncoder().encode(name);
  return bytes.reduce((hash, byte) => Math.imul(hash ^ byte, 0x01000193) >>> 0, 0x811c9dc5);
}
