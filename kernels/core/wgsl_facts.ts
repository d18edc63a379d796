/**
 * Facts that a WGSL file states itself: its bindings, its workgroup memory and the threads of its
 * workgroups. They are read from the text, so that no copy of them can drift.
 */
import type { Binding, Params } from "./variant.ts";
import { evaluateConst } from "./const_expression.ts";

const CONSTANT = /^const ([A-Z][A-Z0-9_]*)(?:: u32)? = ([^;]+);/gm;
const BINDING = /@group\(0\)\s*@binding\((\d+)\)\s*var<([^>]+)>\s*(\w+)\s*:/g;
const WORKGROUP_VARIABLE = /^var<workgroup>\s+(\w+)\s*:\s*([^;]+);/gm;
const WORKGROUP_SIZE = /@workgroup_size\(([^)]+)\)/;

/** What a text says of its workgroups for some values of its parameters. */
export interface WorkgroupFacts {
  /** Threads of a workgroup. */
  readonly threads: number;
  /** Bytes of workgroup memory as WebGPU counts them: each variable rounded up to 16. */
  readonly bytes: number;
}

/** A text's parts that depend on parameters, found once. */
interface Parts {
  readonly constants: readonly (readonly [name: string, expression: string])[];
  readonly variables: readonly (readonly [name: string, type: string])[];
  readonly threads: string;
}

const parts = new Map<string, Parts>();

/**
 * The variables of bind group 0, in the order of their places.
 *
 * @throws {SyntaxError} if places are missing or an address space is of an unknown kind.
 */
export function bindingsOf(source: string): Binding[] {
  const bindings: Binding[] = [];
  for (const [, place, space, name] of source.matchAll(BINDING)) {
    bindings[Number(place)] = { name, access: accessOf(space, name) };
  }
  for (let place = 0; place < bindings.length; place++) {
    if (!bindings[place]) throw new SyntaxError(`nothing is bound at @binding(${place})`);
  }
  return bindings;
}

function accessOf(space: string, name: string): Binding["access"] {
  const words = space.split(",").map((word) => word.trim());
  if (words[0] === "uniform") return "uniform";
  if (words[0] === "storage") return words[1] === "read_write" ? "read_write" : "read";
  throw new SyntaxError(`variable ${name} is bound in the unknown address space ${space}`);
}

/** Values of the module-scope constants that are whole-number expressions, in the text's order. */
export function constantsOf(
  declarations: Iterable<readonly [name: string, expression: string]>,
  params: Params = {},
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
 * @throws {SyntaxError} naming a size that is no constant expression or a type that is not known.
 */
export function workgroupFacts(source: string, params: Params): WorkgroupFacts {
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

/** Place of the comma that parts an array's element type from its length; -1 if there is none. */
function lastOuterComma(text: string): number {
  let depth = 0;
  for (let at = text.length - 1; at >= 0; at--) {
    if (text[at] === ")") depth++;
    if (text[at] === "(") depth--;
    if (text[at] === "," && depth === 0) return at;
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
