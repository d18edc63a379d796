/**
 * Test support: a kernel of subgroup matrices, rewritten so that compilers and devices without them
 * run it. Everything but the matrices stays as it is.
 */
import type { Dispatch, Variant } from "../../kernels/core/variant.ts";
import { MATRIX_FEATURE } from "../../kernels/core/subgroup_matrices.ts";

/**
 * Matrices of 16 x 16 in 32 threads. A thread holds half a row of a result, the row of the left
 * factor that it comes from, and half of the right factor: its part of 16 rows, or 8 columns.
 */
const EMULATION = `
var<private> lane: u32;

struct Left { row: array<vec4<u32>, 2> }
struct Right { half: array<vec4<u32>, 16>, is_columns: bool }
struct Sums { low: vec4f, high: vec4f }

fn low_of(raw: vec4<u32>) -> vec4f {
  return vec4f(unpack2x16float(raw.x), unpack2x16float(raw.y));
}

fn high_of(raw: vec4<u32>) -> vec4f {
  return vec4f(unpack2x16float(raw.z), unpack2x16float(raw.w));
}

fn multiply_accumulate(left: Left, right: Right, sums: Sums) -> Sums {
  var a = left.row;
  var b = right.half;
  var c = array(sums.low, sums.high);
  for (var i = 0u; i < 8u; i++) {
    if (right.is_columns) {
      for (var part = 0u; part < 2u; part++) {
        let raw = b[i * 2u + part];
        c[i / 4u][i % 4u] += dot(low_of(a[part]), low_of(raw)) + dot(high_of(a[part]), high_of(raw));
      }
    } else {
      let pair = unpack2x16float(a[i / 4u][i % 4u]);
      for (var k = 0u; k < 2u; k++) {
        let raw = b[i * 2u + k];
        c[0] += pair[k] * low_of(raw);
        c[1] += pair[k] * high_of(raw);
      }
    }
  }
  return Sums(c[0], c[1]);
}
`;

/** The loads and stores of a workgroup variable that is an array of arrays of 16-byte vectors. */
const ACCESSES = `
fn load_Left_row_major_VARIABLE(block: u32, slot: u32, stride: u32) -> Left {
  let first = slot + lane / 2u * stride;
  return Left(array(VARIABLE[block][first], VARIABLE[block][first + 1u]));
}

fn load_Right_row_major_VARIABLE(block: u32, slot: u32, stride: u32) -> Right {
  var right: Right;
  for (var k = 0u; k < 16u; k++) {
    right.half[k] = VARIABLE[block][slot + k * stride + lane % 2u];
  }
  return right;
}

fn load_Right_col_major_VARIABLE(block: u32, slot: u32, stride: u32) -> Right {
  var right: Right;
  for (var i = 0u; i < 16u; i++) {
    right.half[i] = VARIABLE[block][slot + (lane % 2u * 8u + i / 2u) * stride + i % 2u];
  }
  right.is_columns = true;
  return right;
}

fn load_Sums_row_major_VARIABLE(block: u32, slot: u32, stride: u32) -> Sums {
  let first = slot + lane / 2u * stride + lane % 2u * 2u;
  return Sums(
    bitcast<vec4f>(VARIABLE[block][first]),
    bitcast<vec4f>(VARIABLE[block][first + 1u]),
  );
}

fn store_row_major_VARIABLE(block: u32, slot: u32, sums: Sums, stride: u32) {
  let first = slot + lane / 2u * stride + lane % 2u * 2u;
  VARIABLE[block][first] = bitcast<vec4<u32>>(sums.low);
  VARIABLE[block][first + 1u] = bitcast<vec4<u32>>(sums.high);
}
`;

/** What stands for each part of a kernel's text that names matrices. */
const REPLACEMENTS: readonly (readonly [RegExp, string])[] = [
  [/^alias Left = subgroup_matrix_left<f16, 16, 16>;\n/m, ""],
  [/^alias Right = subgroup_matrix_right<f16, 16, 16>;\n/m, ""],
  [/^alias Sums = subgroup_matrix_result<f32, 16, 16>;\n/m, ""],
  [/subgroupMatrixLoad<(\w+), (\w+)>\(\s*&(\w+)\[([^\]]+)\],/g, "load_$1_$2_$3($4,"],
  [/subgroupMatrixStore<(\w+)>\(\s*&(\w+)\[([^\]]+)\],/g, "store_$1_$2($3,"],
  [/subgroupMatrixLoad<(\w+), (\w+)>\(\s*&(\w+),/g, "load_$1_$2_$3(0u,"],
  [/subgroupMatrixStore<(\w+)>\(\s*&(\w+),/g, "store_$1_$2(0u,"],
  [/subgroupMatrixMultiplyAccumulate\(/g, "multiply_accumulate("],
  [
    / *@builtin\(subgroup_id\) (\w+): u32,\n\) \{\n/,
    `) {
  let $1 = thread / 32u;
  lane = thread % 32u;
`,
  ],
];

/**
 * A kernel's text without matrices. It computes the same up to the order of sums, if the kernel
 * keeps all that matrices load and store in workgroup variables that are arrays of 16-byte vectors,
 * or arrays of such arrays, and calls the matrices Left, Right and Sums.
 *
 * @throws {SyntaxError} if the text names matrices in a way that is not known here.
 */
export function emulateMatrices(source: string): string {
  let text = source;
  for (const [pattern, replacement] of REPLACEMENTS) text = text.replace(pattern, replacement);
  const code = text.replace(/\/\/.*$/gm, "");
  const left = /\w*subgroup_?matrix\w*|subgroup_id/i.exec(code);
  if (left) throw new SyntaxError(`${left[0]} is not emulated`);
  const accesses = Array.from(accessedBy(source), ([name, isBlocks]) => {
    const text = isBlocks ? ACCESSES : ACCESSES.replaceAll("VARIABLE[block]", "VARIABLE");
    return text.replaceAll("VARIABLE", name);
  });
  return [text, EMULATION, ...accesses].join("");
}

/** The workgroup variables that matrices load or store, and whether each is an array of arrays. */
function accessedBy(source: string): Map<string, boolean> {
  const accesses = source.matchAll(/subgroupMatrix(?:Load|Store)<[^>]+>\(\s*&(\w+)(\[?)/g);
  return new Map(Array.from(accesses, ([, name, index]) => [name, index !== ""]));
}

/** Whether a device multiplies matrices itself. */
export function hasMatrices({ features }: GPUDevice): boolean {
  return features.has(MATRIX_FEATURE as GPUFeatureName);
}

/** A dispatch that runs without matrices; the same one if it has none. */
export function emulatedDispatch(dispatch: Dispatch): Dispatch {
  const { kernel, ...rest } = dispatch;
  if (!kernel.features?.includes(MATRIX_FEATURE)) return dispatch;
  return {
    ...rest,
    kernel: { ...kernel, features: ["subgroups"], source: emulateMatrices(kernel.source) },
  };
}

/** A variant that runs without matrices. */
export function emulated(variant: Variant): Variant {
  return {
    ...variant,
    plan(p, params) {
      const plan = variant.plan(p, params);
      return { ...plan, dispatches: plan.dispatches.map(emulatedDispatch) };
    },
  };
}
