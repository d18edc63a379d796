/** WGSL texts as a module of the npm package: without comments, short, and each shared text once. */
import { inOrderOfLikeness } from "./likeness.ts";

const SHARED = /^[ \t]*\/\/ @shared (\S+)\n([^]*?)^[ \t]*\/\/ @end$/gm;
/** Comments that say how a text is specialized: `specialize()` reads them. */
const MARK = /\/\/\s*(@param|@unroll)\b/;

/** Beginnings of which the readers of a text expect the spaces: `wgsl.ts`, `wgsl_facts.ts`. */
const SPACED = /^(const \w+(: u32)? = |var<workgroup> )/;
const OPERATOR = /[-+*/%&|^=<>!]/;

/** Beginnings of lines in every text, and how the package writes them. No WGSL begins so. */
const SHORT: readonly (readonly [line: RegExp, short: string])[] = [
  [/^for \(var (\w+) = 0u; \1 < ([^;]+); \1\+\+\) \{ \/\/ @unroll$/gm, "#$1 $2"],
  [/^const (\w+): u32 = (\d+)u; \/\/ @param$/gm, "#$1=$2"],
  [/^@group\(0\)@binding\(\d+\)var<storage,read>/gm, "?"],
  [/^@group\(0\)@binding\(\d+\)var<storage,read_write>/gm, "?!"],
  [/^@group\(0\)@binding\(\d+\)var<uniform>/gm, "?="],
];

/** What the package makes of these lines when it is loaded. Bindings have numbers in order. */
const EXPAND = `const expand = (texts: readonly string[]): string => {
  let binding = 0;
  return texts.join("\\n")
    .replace(/^#(\\w+) (.+)$/gm, "for (var $1 = 0u; $1 < $2; $1++) { // @unroll")
    .replace(/^#(\\w+)=(.+)$/gm, "const $1: u32 = $2u; // @param")
    .replace(/^\\?([!=]?)/gm, (_, space) =>
      "@group(0)@binding(" + binding++ + ")var<" +
      (space === "=" ? "uniform" : "storage,read" + (space && "_write")) + ">");
};
`;

/** A stripped text as the package has it. */
function shortened(text: string): string {
  return SHORT.reduce((all, [line, short]) => all.replace(line, short), text);
}

/**
 * A text without comments, empty lines, indents and the spaces that nothing needs. Marked lines
 * keep their marks.
 */
export function stripped(source: string): string {
  return source.split("\n").flatMap((line) => {
    const code = line.replace(/\/\/.*$/, "").trimEnd();
    const mark = MARK.exec(line)?.[1];
    if (code.trim() === "") return [];
    if (mark !== undefined) return [`${code.trim()} // ${mark}`];
    const spaced = SPACED.exec(code)?.[0];
    if (spaced !== undefined) return [spaced + squeezed(code.slice(spaced.length))];
    // The indent tells a constant of a function from one of the module.
    return [(/^\s+const\s/.test(code) ? " " : "") + squeezed(code.trim())];
  }).join("\n");
}

/** A line without the spaces that are not between two words or two operators. */
function squeezed(code: string): string {
  return code.replace(/ +/g, (_, at: number) => {
    const [before, after] = [code[at - 1], code.slice(at).trimStart()[0]];
    const joins = /\w/.test(before) && /\w/.test(after) ||
      OPERATOR.test(before) && OPERATOR.test(after);
    return joins ? " " : "";
  });
}

function quoted(source: string): string {
  return JSON.stringify(shortened(stripped(source)));
}

/** A text: the names of shared texts, and what is its own between them, quoted. */
interface Text {
  readonly name: string;
  readonly parts: readonly (string | { readonly own: string })[];
}

/**
 * All texts as one module, since they compress better side by side than between code. Shared texts
 * stand once, before the first text that has them.
 */
export class TextModule {
  readonly #shared = new Map<string, string>();
  readonly #texts: Text[] = [];

  /** Adds a text under a name that no other has. */
  add(name: string, source: string): void {
    const parts: (string | { own: string })[] = [];
    let end = 0;
    for (const { index, 0: block, 1: shared, 2: text } of source.matchAll(SHARED)) {
      parts.push({ own: quoted(source.slice(end, index)) }, shared);
      this.#shared.set(shared, quoted(text));
      end = index + block.length;
    }
    parts.push({ own: quoted(source.slice(end)) });
    this.#texts.push({
      name,
      parts: parts.filter((part) => typeof part === "string" || part.own !== '""'),
    });
  }

  /** The module. */
  toString(): string {
    const lines = [EXPAND];
    const waiting = new Map(this.#shared);
    const ownLines = ({ parts }: Text) =>
      parts.flatMap((part) => typeof part === "string" ? [] : part.own.split("\\n"));
    for (const { name, parts } of inOrderOfLikeness(this.#texts, ownLines)) {
      const texts = parts.map((part) => {
        if (typeof part !== "string") return part.own;
        const text = waiting.get(part);
        if (text !== undefined) lines.push(`const ${part} = ${text};\n`);
        waiting.delete(part);
        return part;
      });
      lines.push(
        `export const ${name}: string = /* @__PURE__ */ expand([${texts.join(", ")}]);\n`,
      );
    }
    return lines.join("");
  }
}
