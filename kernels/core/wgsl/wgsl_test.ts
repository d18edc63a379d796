import { assert, assertEquals, assertStringIncludes, assertThrows } from "@std/assert";
import { type Dialect, paramDefaults, specialize, STANDARD_DIALECT } from "./wgsl.ts";

const SOURCE = `// A kernel.
const LANES: u32 = 4u; // @param threads per row
const ROWS: u32 = 2; // @param
const TILE = LANES * ROWS; // not a parameter
fn f() {}`;

Deno.test("paramDefaults() finds the parameters with their defaults, in order", () => {
  assertEquals(Object.entries(paramDefaults(SOURCE)), [["LANES", 4], ["ROWS", 2]]);
});

Deno.test("specialize() sets the named parameters and keeps the other lines", () => {
  const lines = specialize(SOURCE, { params: { LANES: 32 } }).split("\n");
  assertEquals(lines[1], "const LANES: u32 = 32u; // @param threads per row");
  assertEquals(lines.toSpliced(1, 1), SOURCE.split("\n").toSpliced(1, 1));
});

Deno.test("specialize() without settings keeps the text", () => {
  assertEquals(specialize(SOURCE), SOURCE);
});

Deno.test("specialize() refuses unknown parameters and values that are not u32", () => {
  assertThrows(() => specialize(SOURCE, { params: { TILE: 1 } }), SyntaxError, "no parameter TILE");
  for (const value of [-1, 1.5, NaN, 2 ** 32]) {
    assertThrows(() => specialize(SOURCE, { params: { ROWS: value } }), SyntaxError, "be a u32");
  }
  assertStringIncludes(specialize(SOURCE, { params: { ROWS: 2 ** 32 - 1 } }), "= 4294967295u;");
});

const MALFORMED = [
  "const lanes: u32 = 4u; // @param",
  "const LANES = 4u; // @param",
  "const LANES: i32 = 4; // @param",
  "const LANES: u32 = 2u * 2u; // @param",
  "  const LANES: u32 = 4u; // @param",
  "override LANES: u32 = 4u; // @param",
];

for (const line of MALFORMED) {
  Deno.test(`paramDefaults() refuses "${line}"`, () => {
    assertThrows(() => paramDefaults(line), SyntaxError, "must read");
  });
}

Deno.test("specialize() adds the enable lines that the dialect accepts", () => {
  const first = (features: string[], dialect?: Dialect) =>
    specialize("fn f() {}", { features, dialect }).split("\n").slice(0, -1);
  assertEquals(first(["subgroups"]), ["enable subgroups;"]);
  assertEquals(first(["subgroups", "shader-f16"]), ["enable f16;", "enable subgroups;"]);
  assertEquals(
    first(["subgroups", "shader-f16"], STANDARD_DIALECT),
    first([
      "subgroups",
      "shader-f16",
    ]),
  );
  const f16Alone: Dialect = { enables: new Set(["shader-f16"]) };
  assertEquals(first(["subgroups"], f16Alone), []);
  assertEquals(first(["shader-f16", "subgroups"], f16Alone), ["enable f16;"]);
  assertEquals(first([], STANDARD_DIALECT), []);
});

/** A function around lines, under two module constants. */
function kernel(...body: string[]): string {
  return [
    "const N: u32 = 2u; // @param",
    "const M = N + 1u;",
    "fn f() {",
    ...body.map((line) => `  ${line}`),
    "}",
  ].join("\n");
}

/** The function's body after unrolling, without indentation. */
function unrolled(body: string[], params: Record<string, number> = {}): string[] {
  return specialize(kernel(...body), { params }).split("\n").slice(3, -1).map((line) =>
    line.trim()
  );
}

Deno.test("specialize() unrolls a marked loop into blocks with a constant index", () => {
  const loop = ["for (var i = 0u; i < N; i++) { // @unroll", "  a[i] = i;", "}", "b();"];
  assertEquals(unrolled(loop), [
    ...["{", "const i = 0u;", "a[i] = i;", "}"],
    ...["{", "const i = 1u;", "a[i] = i;", "}"],
    "b();",
  ]);
  assertEquals(unrolled(loop, { N: 0 }), ["b();"]);
  assertEquals(unrolled(loop, { N: 5 }).filter((line) => line === "a[i] = i;").length, 5);
});

Deno.test("specialize() keeps a loop without the mark, or all with `unroll: false`", () => {
  const plain = kernel("for (var i = 0u; i < N; i++) {", "  a[i] = i;", "}");
  assertEquals(specialize(plain), plain);
  const marked = kernel("for (var i = 0u; i < N; i++) { // @unroll", "}");
  assertEquals(specialize(marked, { unroll: false }), marked);
});

Deno.test("specialize() computes the bounds of nested loops from parameters", () => {
  const nest = [
    "for (var i = 0u; i < N; i++) { // @unroll",
    "  for (var j = 0u; j < M; j++) { // @unroll over the rest",
    "    s += f(i, j);",
    "  }",
    "}",
  ];
  const calls = (params: Record<string, number>) =>
    unrolled(nest, params).filter((line) => line === "s += f(i, j);").length;
  assertEquals(calls({}), 6);
  assertEquals(calls({ N: 4 }), 20);
  const indices = unrolled(nest).filter((line) => line.startsWith("const"));
  assertEquals(indices.slice(0, 4).map((line) => line.slice(6)), [
    "i = 0u;",
    "j = 0u;",
    "j = 1u;",
    "j = 2u;",
  ]);
});

Deno.test("specialize() keeps an unmarked loop inside a marked one", () => {
  const body = [
    "for (var i = 0u; i < N; i++) { // @unroll",
    "  for (var j = i; j < 9u; j += 2u) {",
    "    s += j;",
    "  }",
    "}",
  ];
  assertEquals(unrolled(body).filter((line) => line.startsWith("for")).length, 2);
});

Deno.test("specialize() allows the index in expressions, comments and member names", () => {
  const inside = [
    "  if (i == 1u || i >= 3u || i != 2u) { v.i = a[i]; }",
    "  let ii = i; // i = 3, break",
    "  x = select(0u, i, i <= 1u);",
  ];
  const body = ["for (var i = 0u; i < N; i++) { // @unroll", ...inside, "}"];
  assertEquals(unrolled(body).length, 2 * (inside.length + 3));
});

Deno.test("specialize() accepts literals and constant expressions as the bound of a loop", () => {
  const written = (bound: string) =>
    unrolled([`for (var i = 0u; i < ${bound}; i++) { // @unroll`, "  f(i);", "}"]);
  assertEquals(written("N"), written("2u"));
  assertEquals(written("N"), written("firstTrailingBit(2u * N)"));
  assertEquals(written("N + 1u"), written("3u"));
});

const REFUSED: Readonly<Record<string, readonly string[]>> = {
  "a mark that is not on a loop": ["let x = 1u; // @unroll"],
  "a mark on a line of its own": ["// @unroll", "for (var i = 0u; i < N; i++) {", "}"],
  "a start that is not 0u": ["for (var i = 1u; i < N; i++) { // @unroll", "}"],
  "a step that is not 1": ["for (var i = 0u; i < N; i += 2u) { // @unroll", "}"],
  "a signed index": ["for (var i = 0; i < N; i++) { // @unroll", "}"],
  "<= instead of <": ["for (var i = 0u; i <= N; i++) { // @unroll", "}"],
  "a declared type": ["for (var i: u32 = 0u; i < N; i++) { // @unroll", "}"],
  "another index in the test": ["for (var i = 0u; j < N; i++) { // @unroll", "}"],
  "a bound that is not a constant expression": [
    "for (var i = 0u; i < N + n; i++) { // @unroll",
    "}",
  ],
  "a bound that is not a constant": ["for (var i = 0u; i < n; i++) { // @unroll", "}"],
  "a loop on one line": ["for (var i = 0u; i < N; i++) { f(); } // @unroll"],
  "code before the closing brace": ["for (var i = 0u; i < N; i++) { // @unroll", "f(); }"],
  "code after the closing brace": ["for (var i = 0u; i < N; i++) { // @unroll", "} f();"],
  "a loop that never closes": ["for (var i = 0u; i < N; i++) { // @unroll", "{"],
  "too much text": ["for (var i = 0u; i < HUGE; i++) { // @unroll", "f();", "}"],
  ...Object.fromEntries(
    [
      ...["break;", "continue;", "return;", "if (x) { return 1u; }"],
      ...["i = 2u;", "i += 1u;", "i -= 1u;", "i *= 2u;", "i <<= 1u;", "i ^= 1u;", "i %= 2u;"],
      ...["i++;", "i--;", "g(&i);", "var i = 1u;", "let i = 1u;", "const i = 1u;"],
      "/* a block comment */",
    ].map((line) => [line, ["for (var i = 0u; i < N; i++) { // @unroll", line, "}"]]),
  ),
};

for (const [what, body] of Object.entries(REFUSED)) {
  Deno.test(`specialize() refuses in a marked loop: ${what}`, () => {
    const source = `const HUGE = 99999999u;\n${kernel(...body)}`;
    const error = assertThrows(() => specialize(source), SyntaxError, "@unroll");
    assert(error.message.length < 300);
    specialize(source, { unroll: false });
  });
}
