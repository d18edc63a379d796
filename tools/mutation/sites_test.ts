import { assertEquals } from "@std/assert";
import { kernelFiles } from "../kernel_files.ts";
import { mutationSites, replaced } from "./sites.ts";

/** The changes of a text, each as `before>after`. */
function changesOf(source: string): string[] {
  return mutationSites(source).flatMap(({ text, options }) =>
    options.map((option) => `${text} > ${option}`)
  );
}

const CHANGES: readonly (readonly [line: string, changes: readonly string[]])[] = [
  ["let x = a + b - c;", ["+ > -", "- > +"]],
  ["x += -y;", ["+= > -=", "- > "]],
  ["return -x;", ["- > "]],
  ["if (a < b && c >= d) {", ["< > <=", "&& > ||", ">= > >"]],
  ["if (a == b) {", ["== > !="]],
  ["let x = (a & b) | (c << d);", ["& > |", "| > &", "<< > >>"]],
  ["let x = atomicAdd(&counts[i], 2u);", ["2u > 1u", "2u > 3u"]],
  ["let x = min(a, max_of);", ["min > max"]],
  ["let x = a[0] + 0xffu;", ["0 > 1", "+ > -", "0xffu > 0xfeu", "0xffu > 0x100u"]],
  ["let x = 0xffffffffu;", ["0xffffffffu > 0xfffffffeu"]],
  ["let x = 1.5 + 2e3f + vec2f(.5);", ["+ > -", "+ > -"]],
  ["for (var i = t; i < N; i++) {", ["< > <=", "N > N - 1u", "N > N + 1u"]],
  [
    "for (var i = t; i < N >> 1u; i++) {",
    ["< > <=", "N >> 1u > (N >> 1u) - 1u", "N >> 1u > (N >> 1u) + 1u"]
      .concat([">> > <<", "1u > 0u", "1u > 2u"]),
  ],
  ["for (var i = 0u; i < N; i++) { // @unroll", ["N > N - 1u", "N > N + 1u"]],
  ["for (var i = 0u; i < 4u; i++) { // @unroll", ["4u > 3u", "4u > 5u"]],
];

for (const [line, changes] of CHANGES) {
  Deno.test(`mutationSites() changes "${line}" in ${changes.length} ways`, () => {
    assertEquals(changesOf(line), changes);
  });
}

const UNCHANGED = [
  "// a + 1u is b - 2u",
  "/* a + 1u\n is b */",
  "enable f16;",
  "const SIZE: u32 = 8u; // @param a + b",
  "@group(0) @binding(1) var<storage, read> q: array<vec4f>;",
  "@compute @workgroup_size(SIZE * (2u + 1u))",
  "var sums: array<vec4<u32>, SIZE + (4u - 1u)>;",
  "var<workgroup> sums: array<array<f32, N>, max(SIZE, 1u)>;",
  "fn f(a: ptr<function, u32>) -> vec4f {",
  "x = *&y * z / w % v;",
];

for (const line of UNCHANGED) {
  Deno.test(`mutationSites() leaves "${line}" alone`, () => assertEquals(changesOf(line), []));
}

Deno.test("mutationSites() leaves out what makes no array smaller, where a constant is its size alone", () => {
  const arrays = "var<workgroup> sums: array<f32, SIZE>;";
  const size = "const HALF = 2u;\nconst SIZE = HALF + 1u;";
  const smaller = ["2u > 1u", "+ > -", "1u > 0u"];
  assertEquals(changesOf(`${size}\n${arrays}`), smaller);
  assertEquals(changesOf(`${size}\n${arrays}\nlet x = SIZE;`), [
    "2u > 1u",
    "2u > 3u",
    "+ > -",
    "1u > 0u",
    "1u > 2u",
  ]);
});

Deno.test("mutationSites() finds every site at its place, in every kernel", () => {
  for (const file of kernelFiles()) {
    const source = Deno.readTextFileSync(file);
    for (const { at, text, options } of mutationSites(source)) {
      assertEquals(source.slice(at, at + text.length), text);
      for (const option of options) {
        const mutated = replaced(source, at, text, option);
        assertEquals(mutated.split("\n").length, source.split("\n").length);
        assertEquals(mutated === source, false);
      }
    }
  }
});
