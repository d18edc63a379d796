/**
 * Turns a standalone WGSL file into the text for one pipeline. It sets the `// @param` constants,
 * unrolls the `// @unroll` loops, and adds the `enable` lines that the compiler needs. Loops are
 * unrolled because naga guards every loop with a counter, which makes the hot kernels twice as
 * slow. The original file is valid WGSL too and computes the same results.
 */
import { evaluateConst } from "./const_expression.ts";
import { constantDeclarations, constantsOf } from "./wgsl_facts.ts";

/** The WGSL extension that makes each WebGPU feature's functions and types available. */
export const FEATURE_EXTENSIONS: Readonly<Record<string, string>> = {
  "shader-f16": "f16",
  "subgroups": "subgroups",
  "chromium-experimental-subgroup-matrix": "chromium_experimental_subgroup_matrix",
};

/** How a compiler's WGSL differs from the standard. */
export interface Dialect {
  /** Features, by WebGPU name, for which the compiler accepts an `enable` line. */
  readonly enables: ReadonlySet<string>;
}

/** Standard WGSL: an `enable` line for every extension that a text uses. */
export const STANDARD_DIALECT: Dialect = { enables: new Set(Object.keys(FEATURE_EXTENSIONS)) };

/** Settings of {@linkcode specialize}. */
export interface SpecializeOptions {
  /** Values for `// @param` constants; those left out keep the file's default. */
  readonly params?: Readonly<Record<string, number>>;
  /** Unroll `// @unroll` loops (default true). */
  readonly unroll?: boolean;
  /** The dialect of the compiler (default: the standard's). */
  readonly dialect?: Dialect;
  /** Features that the text uses, by WebGPU name. */
  readonly features?: readonly string[];
}

const PARAM_LINE = /^const ([A-Z][A-Z0-9_]*): u32 = (\d+)u?; \/\/ @param\b.*$/;
const UNROLL_LINE = /\/\/ @unroll\b/;
const LOOP_HEAD = /^\s*for \(var (\w+) = 0u; \1 < ([^;]+); \1\+\+\) \{ \/\/ @unroll\b/;
const MAX_UNROLLED_LINES = 100_000;

/** The `// @param` constants of a file with their defaults, in order. */
export function paramDefaults(source: string): Record<string, number> {
  const found: Record<string, number> = {};
  for (const line of source.split("\n")) {
    const match = PARAM_LINE.exec(line);
    if (match) found[match[1]] = Number(match[2]);
    else if (/@param\b/.test(line)) {
      throw new SyntaxError(
        `a @param line must read "const NAME: u32 = 1u; // @param", got "${line}"`,
      );
    }
  }
  return found;
}

/**
 * The text of one pipeline's shader.
 *
 * @throws {SyntaxError} for an unknown parameter, a value that is not a u32, or a marked loop that
 * cannot be unrolled.
 */
export function specialize(source: string, options: SpecializeOptions = {}): string {
  const params = options.params ?? {};
  const known = paramDefaults(source);
  for (const [name, value] of Object.entries(params)) {
    if (!(name in known)) throw new SyntaxError(`the kernel has no parameter ${name}`);
    if (!Number.isInteger(value) || value < 0 || value > 0xffffffff) {
      throw new SyntaxError(`parameter ${name} must be a u32, got ${value}`);
    }
  }
  let lines = source.split("\n").map((line) => {
    const name = PARAM_LINE.exec(line)?.[1];
    return name !== undefined && name in params
      ? line.replace(/= \d+u?;/, `= ${params[name]}u;`)
      : line;
  });
  if (options.unroll ?? true) {
    lines = unroll(lines, constantsOf(constantDeclarations(lines.join("\n"))));
  }
  return [...enableLines(options), ...lines].join("\n");
}

function enableLines({ features = [], dialect = STANDARD_DIALECT }: SpecializeOptions): string[] {
  return Object.entries(FEATURE_EXTENSIONS)
    .filter(([feature]) => features.includes(feature) && dialect.enables.has(feature))
    .map(([, extension]) => `enable ${extension};`);
}

function unroll(lines: readonly string[], constants: ReadonlyMap<string, number>): string[] {
  const out: string[] = [];
  for (let i = 0; i < lines.length; i++) {
    if (!UNROLL_LINE.test(lines[i])) {
      out.push(lines[i]);
      continue;
    }
    const head = LOOP_HEAD.exec(lines[i]);
    if (!head) {
      throw new SyntaxError(
        `@unroll must follow "for (var i = 0u; i < CONST; i++) {", got "${lines[i]}"`,
      );
    }
    const [, index, bound] = head;
    const count = evaluateConst(bound, constants);
    if (count === undefined) {
      throw new SyntaxError(`@unroll: ${bound} is not a constant expression of the module`);
    }
    const end = closingLine(lines, i);
    const body = lines.slice(i + 1, end);
    checkBody(body, index);
    const written = unroll(body, constants);
    if (out.length + count * (written.length + 3) > MAX_UNROLLED_LINES) {
      throw new SyntaxError(`@unroll: ${count} times the body of loop ${index} is too much text`);
    }
    const indent = /^\s*/.exec(lines[i])![0];
    for (let turn = 0; turn < count; turn++) {
      out.push(`${indent}{`, `${indent}  const ${index} = ${turn}u;`, ...written, `${indent}}`);
    }
    i = end;
  }
  return out;
}

/** A line without its comment. */
function code(line: string): string {
  return line.replace(/\/\/.*$/, "");
}

/** The line that closes the block opened on line `open`; it must hold only `}`. */
function closingLine(lines: readonly string[], open: number): number {
  let depth = 0;
  for (let i = open; i < lines.length; i++) {
    for (const char of code(lines[i])) {
      if (char === "{") depth++;
      if (char === "}") depth--;
    }
    if (depth > 0) continue;
    if (code(lines[i]).trim() !== "}") {
      throw new SyntaxError(`@unroll: the loop must close on a line of its own: "${lines[i]}"`);
    }
    return i;
  }
  throw new SyntaxError(`@unroll: the loop "${lines[open].trim()}" never closes`);
}

function checkBody(body: readonly string[], index: string): void {
  const text = body.map(code).join("\n");
  if (/\/\*|\*\//.test(text)) {
    throw new SyntaxError("@unroll: a marked loop must not contain block comments");
  }
  const jump = /\b(break|continue|return|discard|continuing)\b/.exec(text);
  if (jump) throw new SyntaxError(`@unroll: a marked loop must not contain ${jump[1]}`);
  const assigned = new RegExp(
    `(?<![\\w.])${index}\\s*(?:(?:[-+*/%&|^]|<<|>>)?=(?!=)|\\+\\+|--)|&\\s*${index}\\b|\\b(?:var|let|const)\\s+${index}\\b`,
  );
  if (assigned.test(text)) {
    throw new SyntaxError(`@unroll: ${index} must not be assigned or shadowed`);
  }
}
