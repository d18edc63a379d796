/**
 * Reads facts from the text of a WGSL file: its bindings, its workgroup memory and the threads of
 * its workgroups. TypeScript keeps no copy of them that could differ.
 */
import { evaluateConst } from "./const_expression.ts";

/** One `@group(0) @binding(i)` variable; i is its index in the list. */
export interface Binding {
  /** Name of the WGSL variable, and of its buffer unless the dispatch renames it. */
  readonly name: string;
  /** The WGSL declaration: a storage buffer that is read, or also written, or a uniform buffer. */
  readonly access: "read" | "read_write" | "uniform";
}

const CONSTANT = /^const ([A-Z][A-Z0-9_]*)(?:: u32)? = ([^;]+);/gm;
const BINDING = /@group\(0\)\s*@binding\((\d+)\)\s*var<([^>]+)>\s*(\w+)\s*:/g;
const WORKGROUP_VARIABLE = /^var<workgroup>\s+(\w+)\s*:\s*([^;]+);/gm;
const PARAM = /^const (\w+): u32 = .*@param\b/gm;
const ENTRY_POINT = /@compute\b[^{]*?\bfn (\w+)/g;
const DECLARED = /\b(?:fn|let|var|const|struct) ([A-Za-z]\w*)|\b([A-Za-z]\w*)\s*:/g;
const WORKGROUP_SIZE = /@workgroup_size\(([^)]+)\)/;

/** The workgroups of a text for some values of its parameters. */
export interface WorkgroupFacts {
  /** Threads of a workgroup. */
  readonly threads: number;
  /** Bytes of workgroup memory as WebGPU counts them: each variable rounded up to 16. */
  readonly bytes: number;
}

/** The parts of a text that depend on parameters. Each text is searched once. */
interface Parts {
  readonly constants: readonly (readonly [name: string, expression: string])[];
  readonly variables: readonly (readonly [name: string, type: string])[];
  readonly threads: string;
}

const parts = new Map<string, Parts>();

/**
 * The variables of bind group 0, in the order of their binding numbers.
 *
 * @throws {SyntaxError} if a binding number is missing or an address space is unknown.
 */
export function bindingsOf(source: string): Binding[] {
  const bindings: Binding[] = [];
  for (const [, number, space, name] of source.matchAll(BINDING)) {
    bindings[Number(number)] = { name, access: accessOf(space, name) };
  }
  for (let i = 0; i < bindings.length; i++) {
    if (!bindings[i]) throw new SyntaxError(`nothing is bound at @binding(${i})`);
  }
  return bindings;
}

function accessOf(space: string, name: string): Binding["access"] {
  const words = space.split(",").map((word) => word.trim());
  if (words[0] === "uniform") return "uniform";
  if (words[0] === "storage") return words[1] === "read_write" ? "read_write" : "read";
  throw new SyntaxError(`variable ${name} is bound in the unknown address space ${space}`);
}

/**
 * The names that a text gives to what is its own: functions, variables, constants, types and their
 * members. Parameters, bindings and entry points are not among them, since others know their names.
 */
export function ownNames(source: string): Set<string> {
  const names = (pattern: RegExp, text: string) =>
    Array.from(text.matchAll(pattern), (match) => match.at(-1) ?? match[1]);
  const known = [...names(PARAM, source), ...names(BINDING, source), ...names(ENTRY_POINT, source)];
  const own = new Set(names(DECLARED, source.replace(/\/\/.*$/gm, "")));
  for (const name of [...known, "default"]) own.delete(name);
  return own;
}

/** Values of the module-scope constants with whole-number expressions, in the text's order. */
export function constantsOf(
  declarations: Iterable<readonly [name: string, expression: string]>,
  params: Readonly<Record<string, number>> = {},
): Map<string, number> {
  const values = new Map<string, number>();
  for (const [name, expression] of declarations) {
    const value = params[name] ?? evaluateConst(expression, values);
    if (value !== undefined) values.set(name, value);
  }
  return values;
}

/** Names and expressions of a text's module-scope constants. */
export function constantDeclarations(
  source: string,
): (readonly [name: string, expression: string])[] {
  return Array.from(source.matchAll(CONSTANT), ([, name, expression]) => [name, expression]);
}

/**
 * Threads and workgroup memory of a text with the given parameters.
 *
 * @throws {SyntaxError} naming a size that is not a constant expression, or an unknown type.
 */
export function workgroupFacts(
  source: string,
  params: Readonly<Record<string, number>>,
): WorkgroupFacts {
  const { constants, variables, threads } = partsOf(source);
  const values = constantsOf(constants, params);
  let bytes = 0;
  for (const [name, type] of variables) {
    bytes += roundUp(16, sizeAndAlignment(type, values, name).size);
  }
  return { threads: sizeOf(threads, values, "@workgroup_size"), bytes };
}

function partsOf(source: string): Parts {
  let found = parts.get(source);
  if (!found) {
    found = {
      constants: constantDeclarations(source),
      variables: Array.from(source.matchAll(WORKGROUP_VARIABLE), ([, name, type]) => [name, type]),
      threads: WORKGROUP_SIZE.exec(source)?.[1] ?? "1u",
    };
    parts.set(source, found);
  }
  return found;
}

interface Extent {
  readonly size: number;
  readonly align: number;
}

const SCALAR = /^(?:u32|i32|f32|atomic<u32>|atomic<i32>)$/;
const VECTOR = /^vec([234])(?:[uif]|<(?:u32|i32|f32)>)$/;
const ARRAY = /^array<(.+)>$/;

/** Size and alignment of a type, by the rules of WGSL's memory layout. */
function sizeAndAlignment(
  type: string,
  values: ReadonlyMap<string, number>,
  variable: string,
): Extent {
  const text = type.trim();
  if (SCALAR.test(text)) return { size: 4, align: 4 };
  const vector = VECTOR.exec(text);
  if (vector) {
    const width = Number(vector[1]);
    return { size: 4 * width, align: width === 2 ? 8 : 16 };
  }
  const array = ARRAY.exec(text);
  const comma = array ? lastOuterComma(array[1]) : -1;
  if (!array || comma < 0) throw new SyntaxError(`${variable} has the unknown type ${text}`);
  const element = sizeAndAlignment(array[1].slice(0, comma), values, variable);
  const count = sizeOf(array[1].slice(comma + 1), values, variable);
  return { size: count * roundUp(element.align, element.size), align: element.align };
}

/** Index of the comma between an array's element type and its length; -1 if there is none. */
function lastOuterComma(text: string): number {
  let depth = 0;
  for (let i = text.length - 1; i >= 0; i--) {
    if (text[i] === ")") depth++;
    if (text[i] === "(") depth--;
    if (text[i] === "," && depth === 0) return i;
  }
  return -1;
}

function sizeOf(text: string, values: ReadonlyMap<string, number>, variable: string): number {
  const value = evaluateConst(text, values);
  if (value === undefined) {
    throw new SyntaxError(`the size ${text.trim()} of ${variable} has no value`);
  }
  return value;
}

function roundUp(multiple: number, value: number): number {
  return Math.ceil(value / multiple) * multiple;
}
