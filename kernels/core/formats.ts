/**
 * Kernels of problems with queries or outputs in f16, another scale of logits, or a soft cap. The
 * texts are of the usual problem. Here the few functions and the constant that differ take the place
 * of theirs, so that the usual problem pays for nothing.
 */
import type { Kernel, Plan, Variant } from "./variant.ts";
import type { Problem } from "./problem.ts";

const LOADED_F16: Readonly<Record<string, string>> = {
  query_quad: `fn query_quad(at: u32) -> vec4f {
  return vec4f(unpack2x16float(q[at].x), unpack2x16float(q[at].y));
}`,
  query_element: `fn query_element(at: u32) -> f32 {
  return unpack2x16float(q[at / 2u])[at % 2u];
}`,
};

const STORED_F16 = `fn store_out(at: u32, quad: vec4f) {
  out[at] = vec2<u32>(pack2x16float(quad.xy), pack2x16float(quad.zw));
}`;

/**
 * tanh in f32: a power series near zero, where the other form loses digits. WGSL allows its own
 * tanh an error of 1e-5, which the cap multiplies.
 */
function cappedBy(cap: number): string {
  return `fn capped(logit: f32) -> f32 {
  const CAP = ${f32(cap * Math.LOG2E)}; // logits are in log2 units
  let x = logit / CAP;
  let y = x * x;
  let series = fma(fma(fma(fma(y, ${62 / 2835}, ${-17 / 315}), y, ${2 / 15}), y, ${
    -1 / 3
  }), y, 1.0);
  let power = exp2(${-2 * Math.LOG2E} * abs(x));
  let size = (1.0 - power) / (1.0 + power);
  return CAP * select(select(-size, size, x > 0.0), x * series, y < 0.0625);
}`;
}

/** A number as a literal of WGSL, rounded to f32. */
function f32(value: number): string {
  return `f32(${Math.fround(value)})`;
}

/** The text with another function in place of that of the same name, if it has one. */
function withFunction(source: string, name: string, text: string): string {
  return source.replace(new RegExp(`fn ${name}\\([^{]*\\{[^}]*\\}`), () => text);
}

/** The text with words in place of the floats of a buffer: half as many for f16. */
function withHalves(source: string, buffer: string): string {
  return source.replace(
    new RegExp(`(> ?${buffer}: ?)array<(vec4f|f32)>`),
    (_, begin: string, type: string) => `${begin}array<${type === "f32" ? "u32" : "vec2<u32>"}>`,
  );
}

/** The kernel for a problem's formats: itself for the usual ones. */
export function kernelOf(kernel: Kernel, p: Problem): Kernel {
  const { qDtype, outDtype, scale, softCap } = p;
  let { source } = kernel;
  if (qDtype === "f16") {
    source = withHalves(source, "q");
    for (const [name, text] of Object.entries(LOADED_F16)) {
      source = withFunction(source, name, text);
    }
  }
  if (outDtype === "f16") {
    source = withFunction(withHalves(source, "out"), "store_out", STORED_F16);
  }
  if (scale !== undefined) {
    source = source.replace(
      /^const SCALE = [^;]+;/m,
      () => `const SCALE = ${f32(scale * Math.LOG2E)};`,
    );
  }
  if (softCap !== undefined) source = withFunction(source, "capped", cappedBy(softCap));
  return source === kernel.source ? kernel : { ...kernel, source };
}

/** The stages whose verification knows other formats. */
const FREE_STAGES: readonly string[] = [
  "encode_query",
  "encode_append",
  "encode_prompt",
  "score",
  "select",
  "attend",
  "merge",
  "dense",
  "pipeline",
];

/** A sentence on a format of the problem that a variant cannot take; undefined if it takes all. */
export function refusesFormats(
  { stage }: Pick<Variant, "stage">,
  p: Problem,
  { buffers, dispatches }: Plan,
): string | undefined {
  const isFree = FREE_STAGES.includes(stage);
  const kernels = dispatches.map(({ kernel }) => kernel);
  const without = (buffer: string, ...functions: readonly string[]) =>
    kernels.find(({ bindings, source }) =>
      bindings.some(({ name }) => name === buffer) &&
      !(isFree && functions.some((name) => source.includes(`fn ${name}(`)))
    );
  if (p.qDtype === "f16") {
    const kernel = without("q", ...Object.keys(LOADED_F16));
    if (kernel) return `${kernel.name} takes q in f32 alone`;
  }
  if (p.outDtype === "f16") {
    const kernel = without("out", "store_out");
    if (kernel) return `${kernel.name} writes out in f32 alone`;
  }
  // What reads no values makes no logits but of scores, whose order neither changes.
  if (!Object.keys(buffers).some((name) => name.endsWith("values"))) return undefined;
  const has = (pattern: RegExp) => isFree && kernels.some(({ source }) => pattern.test(source));
  if (p.scale !== undefined && !has(/^const SCALE = /m)) {
    return "it scales logits by 1 / sqrt(headDim) alone";
  }
  if (p.softCap !== undefined && !has(/fn capped\(/)) return "it has no soft cap";
}
