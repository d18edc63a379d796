/**
 * Where a WGSL text can be changed by one token, and into what.
 *
 * Left out is what no test could tell from the text as it stands, or what would not be the kernel's
 * own fault:
 * - comments, since they compute nothing;
 * - lines of `// @param` constants, whose values every plan replaces;
 * - `enable` lines and attributes (`@group`, `@binding`, `@workgroup_size`, `@builtin`), which are
 *   the contract with the host: a change there does not compile or does not bind;
 * - what stands between `<` and `>` of a type, which holds address spaces and sizes of arrays;
 * - changes of a constant that is nothing but the size of an array, unless they make it smaller: more
 *   room costs memory and changes no result;
 * - the form of a loop that is written out (its start and its comparison), which the suite's own
 *   preprocessor reads: its bound is changed instead;
 * - `&` of an address, and numbers with a decimal point, which have no next one.
 */
import { constantDeclarations, constantsOf } from "../../kernels/core/wgsl/wgsl_facts.ts";

/** A piece of a text and what may stand there instead. */
export interface Site {
  /** Index of its first character. */
  readonly at: number;
  readonly text: string;
  /** One or more. */
  readonly options: readonly string[];
}

const TOKEN = new RegExp(
  [
    /\/\/.*|\/\*[^]*?\*\//, // comments
    /@\w+(?:\s*\((?:[^()]|\([^()]*\))*\))?/, // attributes
    /0[xX][\da-fA-F]+[iu]?/,
    /(?:\d+\.\d*|\.\d+|\d+(?=[eE]))(?:[eE][-+]?\d+)?[fh]?/, // numbers with a point or an exponent
    /\d+[iufh]?/,
    /[A-Za-z_]\w*/,
    /<<=|>>=|->|\+\+|--|&&|\|\||[-+*/%&|^=!<>]=|<<|>>|[^\s\w]/,
  ].map(({ source }) => source).join("|"),
  "g",
);

/** Names that a list of types or sizes in angle brackets may follow. */
const TEMPLATED = /^(?:array|vec[234]|mat[234]x[234]|ptr|atomic|bitcast|var)$/;

/** What stands for an operator or a function instead. */
const SWAPS: Readonly<Record<string, string>> = {
  "+": "-",
  "-": "+",
  "+=": "-=",
  "-=": "+=",
  "<": "<=",
  "<=": "<",
  ">": ">=",
  ">=": ">",
  "==": "!=",
  "!=": "==",
  "&": "|",
  "|": "&",
  "&=": "|=",
  "|=": "&=",
  "&&": "||",
  "||": "&&",
  "<<": ">>",
  ">>": "<<",
  min: "max",
  max: "min",
  atomicMin: "atomicMax",
  atomicMax: "atomicMin",
  subgroupMin: "subgroupMax",
  subgroupMax: "subgroupMin",
};

const INTEGER = /^(?:0[xX][\da-fA-F]+|\d+)[iu]?$/;
const UNCHANGED_LINE = /^.*\/\/ @param\b.*$|^\s*enable\b.*$/gm;
const LOOP_BOUND = /^\s*for \([^;]*; \w+ < ([^;]+);.*$/gm;

/** Every site of a text, in order. */
export function mutationSites(source: string): Site[] {
  const fixed = [...spansOf(source, UNCHANGED_LINE), ...writtenOutHeads(source)];
  const isFree = ({ at }: Site) => !fixed.some(({ begin, end }) => at >= begin && at < end);
  const sites = [...tokenSites(source), ...boundSites(source)].filter(isFree);
  const grows = growthOf(source);
  return sites.sort((a, b) => a.at - b.at).flatMap(({ at, text, options }) => {
    const own = options.filter((option) => !grows(replaced(source, at, text, option)));
    return own.length > 0 ? [{ at, text, options: own }] : [];
  });
}

/** The text with something else in one place. */
export function replaced(source: string, at: number, text: string, option: string): string {
  return source.slice(0, at) + option + source.slice(at + text.length);
}

interface Span {
  readonly begin: number;
  readonly end: number;
}

function spansOf(source: string, pattern: RegExp): Span[] {
  return Array.from(source.matchAll(pattern), ({ index, 0: { length } }) => ({
    begin: index,
    end: index + length,
  }));
}

/** The heads of loops that are written out, up to their bounds. */
function writtenOutHeads(source: string): Span[] {
  return Array.from(source.matchAll(LOOP_BOUND))
    .filter(([line]) => line.includes("// @unroll"))
    .map(({ index, 0: line, 1: bound }) => ({ begin: index, end: index + boundAt(line, bound) }));
}

function boundAt(line: string, bound: string): number {
  return line.indexOf(`< ${bound};`) + 2;
}

/** The bounds of loops as wholes: one turn fewer, one turn more. */
function boundSites(source: string): Site[] {
  return Array.from(source.matchAll(LOOP_BOUND))
    .filter(([, bound]) => !INTEGER.test(bound)) // Those are sites of their own.
    .map(({ index, 0: line, 1: text }) => {
      const whole = /^\w+$/.test(text) ? text : `(${text})`;
      return {
        at: index + boundAt(line, text),
        text,
        options: [`${whole} - 1u`, `${whole} + 1u`],
      };
    });
}

function tokenSites(source: string): Site[] {
  const sites: Site[] = [];
  let before = "";
  TOKEN.lastIndex = 0;
  for (let match = TOKEN.exec(source); match !== null; match = TOKEN.exec(source)) {
    const [text] = match;
    if (/^(?:\/\/|\/\*|@)/.test(text)) continue;
    if (TEMPLATED.test(text) && source[TOKEN.lastIndex] === "<") {
      TOKEN.lastIndex = templateEnd(source, TOKEN.lastIndex);
    }
    const options = optionsFor(text, before, source[TOKEN.lastIndex]);
    if (options.length > 0) sites.push({ at: match.index, text, options });
    before = text;
  }
  return sites;
}

/** Index behind the bracket that closes the one at `open`. */
function templateEnd(source: string, open: number): number {
  let angles = 0;
  let rounds = 0;
  for (let at = open; at < source.length; at++) {
    if (source[at] === "(") rounds++;
    if (source[at] === ")") rounds--;
    if (rounds > 0) continue;
    if (source[at] === "<") angles++;
    if (source[at] === ">") angles--;
    if (angles === 0) return at + 1;
  }
  return source.length;
}

function optionsFor(text: string, before: string, next: string | undefined): string[] {
  if (INTEGER.test(text)) return neighbours(text);
  if (!Object.hasOwn(SWAPS, text)) return [];
  if (/^\w/.test(text)) return next === "(" ? [SWAPS[text]] : [];
  const isBinary = /[\w)\]]$/.test(before) && before !== "return";
  if (isBinary) return [SWAPS[text]];
  return text === "-" ? [""] : [];
}

/** The whole numbers beside one, as they are spelled. */
function neighbours(text: string): string[] {
  const [, prefix, suffix] = /^(0[xX])?[\da-fA-F]+?([iu]?)$/.exec(text)!;
  const value = Number(text.slice(0, text.length - suffix.length));
  return [value - 1, value + 1].filter((near) => near >= 0 && near < 2 ** 32)
    .map((near) => (prefix ? `0x${near.toString(16)}` : `${near}`) + suffix);
}

/** Tells whether a changed text does nothing but leave room in an array. */
function growthOf(source: string): (mutated: string) => boolean {
  const sizes = sizeConstants(source);
  const before = constantDeclarations(source);
  const valuesBefore = constantsOf(before);
  return (mutated) => {
    const after = constantDeclarations(mutated);
    const changed = before.findIndex(([, text], at) => text !== after[at]?.[1]);
    if (changed < 0 || !sizes.has(before[changed][0])) return false;
    const [name] = before[changed];
    return constantsOf(after).get(name)! >= valuesBefore.get(name)!;
  };
}

/** Names of the constants that stand in types alone, or in other such constants. */
function sizeConstants(source: string): ReadonlySet<string> {
  let text = withoutTypes(source);
  const found = new Set<string>();
  for (let before = -1; before < found.size;) {
    before = found.size;
    for (const [name] of constantDeclarations(text)) {
      if (Array.from(text.matchAll(new RegExp(`\\b${name}\\b`, "g"))).length > 1) continue;
      found.add(name);
      text = text.replace(new RegExp(`^const ${name}\\b.*$`, "m"), "");
    }
  }
  return found;
}

/** The text without comments and without what stands in the angle brackets of types. */
function withoutTypes(source: string): string {
  let text = source.replaceAll(/\/\/.*|\/\*[^]*?\*\//g, "");
  for (const { index, 0: name } of [...text.matchAll(/\b\w+(?=<)/g)].reverse()) {
    if (!TEMPLATED.test(name)) continue;
    const open = index + name.length;
    text = text.slice(0, open) + text.slice(templateEnd(text, open));
  }
  return text;
}
