/** Short names for what WGSL texts call their own: names are most of a text, compressed too. */
import { ownNames } from "../../kernels/core/wgsl/wgsl_facts.ts";

const NAME = /\b[A-Za-z_]\w*/g;
const LETTERS = "abcdefghijklmnopqrstuvwxyz";
const CAPITALS = LETTERS.toUpperCase();
/** Words of the language with two letters, those in reserve included. */
const WORDS = ["as", "do", "fn", "if", "in", "is", "of"];
/** What `constantsOf()` takes for a constant. */
const CONSTANT = /^[A-Z][A-Z0-9_]*$/;
/** What `kernels/core/formats.ts` finds statements by. */
const FOUND = /^(?:query_\w+|at|quad|SCALE|logit|capped|store_out)$/;
/** Parts of a vector, whatever else may have such a name. */
const SWIZZLE = /^(?:[xyzw]{1,4}|[rgba]{1,4})$/;

/**
 * A short name for each name that every text with it has for its own. All texts get the same, since
 * they share parts. Two names get one if no text has both, so that the usual ones are few.
 */
export function shortNames(sources: readonly string[]): ReadonlyMap<string, string> {
  const counts = new Map<string, number>();
  const kept = new Set<string>();
  const met = new Map<string, Set<string>>();
  for (const source of sources) {
    const code = source.replace(/\/\/.*$/gm, "");
    const own = ownNames(source);
    for (const [name] of code.matchAll(NAME)) {
      counts.set(name, (counts.get(name) ?? 0) + 1);
      if (!own.has(name) || SWIZZLE.test(name) || FOUND.test(name)) kept.add(name);
    }
    const names = new Set(Array.from(code.matchAll(NAME), ([name]) => name));
    for (const name of names) met.set(name, names.union(met.get(name) ?? new Set()));
  }
  const names = Array.from(counts.keys()).filter((name) => !kept.has(name))
    .sort((a, b) => counts.get(b)! - counts.get(a)!);
  const short = new Map<string, string>();
  for (const name of names) {
    const taken = new Set(WORDS);
    for (const other of met.get(name)!) taken.add(short.get(other) ?? other);
    const free = CONSTANT.test(name)
      ? namesOf(CAPITALS, CAPITALS, CAPITALS + "0123456789")
      : namesOf(LETTERS, LETTERS + CAPITALS, LETTERS);
    let found = free.next();
    while (!found.done && taken.has(found.value)) found = free.next();
    if (found.done) throw new RangeError("there are more names than short ones");
    short.set(name, found.value);
  }
  return short;
}

/** Names of one and two letters. */
function* namesOf(single: string, firsts: string, seconds: string): Generator<string, void> {
  yield* single;
  for (const first of firsts) {
    for (const second of seconds) yield first + second;
  }
}

/** A text with its short names. Comments stay as they are, since some are marks. */
export function renamed(source: string, short: ReadonlyMap<string, string>): string {
  return source.split("\n").map((line) => {
    const [code] = line.split("//", 1);
    return code.replace(NAME, (name) => short.get(name) ?? name) + line.slice(code.length);
  }).join("\n");
}
