/**
 * Test support: a kernel of subgroup matrices, rewritten so that compilers and devices without them
 * run it. Everything but the matrices stays as it is.
 */
import type { Variant } from "../kernels/core/variant.ts";
import type { SubgroupMatrices } from "../kernels/core/subgroup_matrices.ts";

/** What the kernels need, as a device with matrices reports it. */
export const EMULATED_MATRICES: readonly SubgroupMatrices[] = [
  { componentType: "f16", resultComponentType: "f32", M: 16, N: 16, K: 16 },
];

/**
 * Matrices of 16 x 16 in 32 threads. A thread holds half a row of a result, the row of the left
 * factor that it comes from, and the half of the right factor.
 */
const EMULATION = `
var<private> lane: u32;

struct Left { at: array<f32, 16> }
struct Right { at: array<f32, 128> }
struct Sums { at: array<f32, 8> }

fn half_at(element: u32) -> f32 {
  return unpack2x16float(slots[element / 8u][element / 2u % 4u])[element % 2u];
}

fn load_Left_row_major(slot: u32, stride: u32) -> Left {
  var left: Left;
  for (var k = 0u; k < 16u; k++) {
    left.at[k] = half_at((slot + lane / 2u * stride) * 8u + k);
  }
  return left;
}

fn load_Right_row_major(slot: u32, stride: u32) -> Right {
  var right: Right;
  for (var i = 0u; i < 128u; i++) {
    right.at[i] = half_at((slot + i / 8u * stride) * 8u + lane % 2u * 8u + i % 8u);
  }
  return right;
}

fn load_Right_col_major(slot: u32, stride: u32) -> Right {
  var right: Right;
  for (var i = 0u; i < 128u; i++) {
    right.at[i] = half_at((slot + (lane % 2u * 8u + i % 8u) * stride) * 8u + i / 8u);
  }
  return right;
}

fn load_Sums_row_major(slot: u32, stride: u32) -> Sums {
  var sums: Sums;
  for (var i = 0u; i < 8u; i++) {
    let element = (slot + lane / 2u * stride) * 4u + lane % 2u * 8u + i;
    sums.at[i] = bitcast<f32>(slots[element / 4u][element % 4u]);
  }
  return sums;
}

fn store_row_major(slot: u32, sums: Sums, stride: u32) {
  var copy = sums;
  for (var i = 0u; i < 8u; i++) {
    let element = (slot + lane / 2u * stride) * 4u + lane % 2u * 8u + i;
    slots[element / 4u][element % 4u] = bitcast<u32>(copy.at[i]);
  }
}

fn multiply_accumulate(left: Left, right: Right, sums: Sums) -> Sums {
  var a = left;
  var b = right;
  var c = sums;
  for (var k = 0u; k < 16u; k++) {
    for (var i = 0u; i < 8u; i++) {
      c.at[i] = fma(a.at[k], b.at[k * 8u + i], c.at[i]);
    }
  }
  return c;
}
`;

/** What stands for each part of a kernel's text that names matrices. */
const REPLACEMENTS: readonly (readonly [RegExp, string])[] = [
  [/^alias \w+ = subgroup_matrix_\w+<[^>]+>;\n/gm, ""],
  [/subgroupMatrixLoad<(\w+), (\w+)>\(&slots, /g, "load_$1_$2("],
  [/subgroupMatrixStore<(\w+)>\(&slots, /g, "store_$1("],
  [/subgroupMatrixMultiplyAccumulate\(/g, "multiply_accumulate("],
  [
    / *@builtin\(subgroup_id\) subgroup: u32,\n\) \{\n/,
    `) {
  let subgroup = thread / 32u;
  lane = thread % 32u;
`,
  ],
];

/**
 * A kernel's text without matrices. It computes the same up to the order of sums, if the kernel
 * keeps all that matrices load and store in the workgroup variable `slots` of 16-byte vectors.
 *
 * @throws {SyntaxError} if the text names matrices in a way that is not known here.
 */
export function emulateMatrices(source: string): string {
  let text = source;
  for (const [pattern, replacement] of REPLACEMENTS) text = text.replace(pattern, replacement);
  const code = text.replace(/\/\/.*$/gm, "");
  const left = /\w*subgroup_?matrix\w*|subgroup_id/i.exec(code);
  if (left) throw new SyntaxError(`${left[0]} is not emulated`);
  return text + EMULATION;
}

/** A variant of matrices that runs without them. */
export function emulated(variant: Variant): Variant {
  return {
    ...variant,
    features: ["subgroups"],
    plan(p, params) {
      const plan = variant.plan(p, params);
      const dispatches = plan.dispatches.map((dispatch) => {
        const { kernel } = dispatch;
        if (!kernel.source.includes("subgroup_matrix")) return dispatch; // such as a merge
        const source = emulateMatrices(kernel.source);
        return { ...dispatch, kernel: { ...kernel, features: ["subgroups"], source } };
      });
      return { ...plan, dispatches };
    },
  };
}
