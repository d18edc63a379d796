/** WGSL texts as modules of the npm package: without comments, short, and each shared text once. */

const SHARED = /^[ \t]*\/\/ @shared (\S+)\n([^]*?)^[ \t]*\/\/ @end$/gm;
/** Comments that say how a text is specialized: `specialize()` reads them. */
const MARK = /\/\/\s*(@param|@unroll)\b/;

/** Beginnings of which the readers of a text expect the spaces: `wgsl.ts`, `wgsl_facts.ts`. */
const SPACED = /^(const \w+(: u32)? = |var<workgroup> )/;
const OPERATOR = /[-+*/%&|^=<>!]/;

/** Lines that stand in every text, and how the package writes them. No line of WGSL begins so. */
const SHORT: readonly (readonly [line: RegExp, short: string])[] = [
  [/^for \(var (\w+) = 0u; \1 < ([^;]+); \1\+\+\) \{ \/\/ @unroll$/gm, "#$1 $2"],
  [/^const (\w+): u32 = (\d+)u; \/\/ @param$/gm, "#$1=$2"],
];

/** What the package makes of these lines when it is loaded. */
const EXPAND = `export const expand = (text: string): string =>
  text.replace(/^#(\\w+) (.+)$/gm, "for (var $1 = 0u; $1 < $2; $1++) { // @unroll")
    .replace(/^#(\\w+)=(.+)$/gm, "const $1: u32 = $2u; // @param");
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

/** Collects the shared texts of all modules. */
export class SharedTexts {
  readonly #texts = new Map<string, string>();

  /** The module that exports a text as its default, given where the shared texts lie. */
  moduleOf(source: string, path: string): string {
    const names = new Set<string>();
    const parts: string[] = [];
    let end = 0;
    for (const { index, 0: block, 1: name, 2: text } of source.matchAll(SHARED)) {
      parts.push(quoted(source.slice(end, index)), name);
      names.add(name);
      this.#texts.set(name, quoted(text));
      end = index + block.length;
    }
    parts.push(quoted(source.slice(end)));
    const texts = parts.filter((part) => part !== '""');
    const imports = `import { ${["expand", ...names].join(", ")} } from ${JSON.stringify(path)};\n`;
    return `${imports}const text: string = expand([${texts.join(", ")}].join("\\n"));\n` +
      `export default text;\n`;
  }

  /** The module of the shared texts. */
  module(): string {
    return Array.from(
      this.#texts,
      ([name, text]) => `export const ${name} = ${text};\n`,
    ).join("") + EXPAND;
  }
}
