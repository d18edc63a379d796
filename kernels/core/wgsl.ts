/**
 * Turns a standalone WGSL file into the text for one pipeline: sets its `// @param` constants,
 * writes out its `// @unroll` loops, adds the `enable` lines that the compiler at hand wants.
 * naga guards every loop with a counter, which costs the hot kernels a factor of two: hence the
 * unrolling. The same text without any of it is valid WGSL and computes the same.
 */
import { evaluateConst } from "./const_expression.ts";
import { constantDeclarations, constantsOf } from "./wgsl_facts.ts";

/** The WGSL extension that makes each WebGPU feature's functions and types available. */
export const FEATURE_EXTENSIONS: Readonly<Record<string, string>> = {
  "shader-f16": "f16",
  "subgroups": "subgroups",
};

/** How a compiler's WGSL differs from the standard. */
export interface Dialect {
  /** Features, by WebGPU name, for which the compiler takes an `enable` line. */
  readonly enables: ReadonlySet<string>;
}

/** WGSL as its specification has it: every extension that a text uses is enabled by a line. */
export const STANDARD_DIALECT: Dialect = { enables: new Set(Object.keys(FEATURE_EXTENSIONS)) };

/** Settings of {@linkcode specialize}. */
export interface SpecializeOptions {
  /** Values for `// @param` constants; the file's own default stands for those left out. */
  readonly params?: Readonly<Record<string, number>>;
  /** Write out `// @unroll` loops (default true). */
  readonly unroll?: boolean;
  /** The WGSL that the text's compiler takes; the standard's if left out. */
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
 * @throws {SyntaxError} for an unknown parameter, a value that is no u32, or a marked loop of a
 * form that cannot be written out.
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
  for (let at = 0; at < lines.length; at++) {
    if (!UNROLL_LINE.test(lines[at])) {
      out.push(lines[at]);
      continue;
    }
    const head = LOOP_HEAD.exec(lines[at]);
    if (!head) {
      throw new SyntaxError(
        `@unroll wants "for (var i = 0u; i < CONST; i++) {" before it, got "${lines[at]}"`,
      );
    }
    const [, index, bound] = head;
    const count = evaluateConst(bound, constants);
    if (count === undefined) {
      throw new SyntaxError(`@unroll: ${bound} is not a constant expression of the module`);
    }
    const end = closingLine(lines, at);
    const body = lines.slice(at + 1, end);
    checkBody(body, index);
    const written = unroll(body, constants);
    if (out.length + count * (written.length + 3) > MAX_UNROLLED_LINES) {
      throw new SyntaxError(`@unroll: ${count} times the body of loop ${index} is too much text`);
    }
    const indent = /^\s*/.exec(lines[at])![0];
    for (let i = 0; i < count; i++) {
      out.push(`${indent}{`, `${indent}  const ${index} = ${i}u;`, ...written, `${indent}}`);
    }
    at = end;
  }
  return out;
}

/** Code of a line without its comment. */
function code(line: string): string {
  return line.replace(/\/\/.*$/, "");
}

/** The line on which the block that opens on line `open` closes; it must hold `}` alone. */
function closingLine(lines: readonly string[], open: number): number {
  let depth = 0;
  for (let at = open; at < lines.length; at++) {
    for (const char of code(lines[at])) {
      if (char === "{") depth++;
      if (char === "}") depth--;
    }
    if (depth > 0) continue;
    if (code(lines[at]).trim() !== "}") {
      throw new SyntaxError(`@unroll: the loop must close on a line of its own: "${lines[at]}"`);
    }
    return at;
  }
  throw new SyntaxError(`@unroll: the loop "${lines[open].trim()}" never closes`);
}

function checkBody(body: readonly string[], index: string): void {
  const text = body.map(code).join("\n");
  if (/\/\*|\*\//.test(text)) throw new SyntaxError("@unroll: no block comments in a marked loop");
  const jump = /\b(break|continue|return|discard|continuing)\b/.exec(text);
  if (jump) throw new SyntaxError(`@unroll: no ${jump[1]} in a marked loop`);
  const assigned = new RegExp(
    `(?<![\\w.])${index}\\s*(?:(?:[-+*/%&|^]|<<|>>)?=(?!=)|\\+\\+|--)|&\\s*${index}\\b|\\b(?:var|let|const)\\s+${index}\\b`,
  );
  if (assigned.test(text)) {
    throw new SyntaxError(`@unroll: ${index} must not be assigned or hidden`);
  }
}
