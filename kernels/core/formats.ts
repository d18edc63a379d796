/**
 * Kernels of problems with queries or outputs in f16, another scale of logits, or a soft cap. The
 * texts are of the usual problem. Here the few statements that differ take the place of theirs, so
 * that the usual problem pays for nothing.
 */
import type { Kernel, Plan, Variant } from "./variant.ts";
import type { Problem } from "./problem/problem.ts";

/**
 * The statements of a soft cap. WGSL allows its own tanh an error of 1e-5, which the cap multiplies.
 * A power series near zero keeps the digits that the other form loses there.
 */
function cappedBy(cap: number): string {
  return `let x = logit / ${f32(cap * Math.LOG2E)}; // logits are in log2 units
  let y = x * x;
  let series = fma(fma(fma(fma(y, ${62 / 2835}, ${-17 / 315}), y, ${2 / 15}), y, ${
    -1 / 3
  }), y, 1.0);
  let power = exp2(${-2 * Math.LOG2E} * abs(x));
  let size = (1.0 - power) / (1.0 + power);
  return ${f32(cap * Math.LOG2E)} *
    select(select(-size, size, x > 0.0), x * series, y < 0.0625);`;
}

/** A number as a literal of WGSL, rounded to f32. */
function f32(value: number): string {
  return `f32(${Math.fround(value)})`;
}

/** The kernel for a problem's formats: itself for the usual ones. */
export function kernelOf(kernel: Kernel, p: Problem): Kernel {
  let { source } = kernel;
  // The package's texts have other spaces.
  const put = (old: RegExp, text: string) => {
    source = source.replace(old, text);
  };
  if (p.qDtype === "f16") {
    const isQuads = /> ?q: ?array<vec4f>/.test(source);
    put(/> ?q: ?array<\w+>/, `> q: array<${isQuads ? "vec2<u32>" : "u32"}>`);
    put(
      /return q\[at\]/,
      isQuads
        ? "return vec4f(unpack2x16float(q[at].x), unpack2x16float(q[at].y))"
        : "return unpack2x16float(q[at / 2u])[at % 2u]",
    );
  }
  if (p.outDtype === "f16") {
    put(/> ?out: ?array<\w+>/, "> out: array<vec2<u32>>");
    put(/out\[at\] ?= ?quad/, "out[at] = vec2(pack2x16float(quad.xy), pack2x16float(quad.zw))");
  }
  if (p.scale !== undefined) put(/(?<=^const SCALE = )[^;]+/m, f32(p.scale * Math.LOG2E));
  if (p.softCap !== undefined) put(/return logit;/, cappedBy(p.softCap));
  return source === kernel.source ? kernel : { ...kernel, source };
}

/** A sentence on a format of the problem that a variant cannot take; undefined if it takes all. */
export function refusesFormats(
  { stage }: Pick<Variant, "stage">,
  { qDtype, outDtype, scale, softCap }: Problem,
  { buffers, dispatches }: Plan,
): string | undefined {
  const kernels = dispatches.map(({ kernel }) => kernel);
  // No verification of other systems' steps knows of formats.
  const has = ({ source }: Kernel, text: string) => stage !== "rival" && source.includes(text);
  const without = (buffer: string, text: string) =>
    kernels.find((each) => each.bindings.some(({ name }) => name === buffer) && !has(each, text));
  const f32Only = (qDtype === "f16" && without("q", "fn query_")) ||
    (outDtype === "f16" && without("out", "fn store_out("));
  if (f32Only) return `${f32Only.name} takes q and out in f32 alone`;
  // What reads no values makes no logits but of scores, whose order neither changes.
  if (!Object.keys(buffers).some((name) => name.endsWith("values"))) return undefined;
  const lacks = (text: string) =>
    stage === "prefill" || !hasLogits(kernels, (each) => has(each, text));
  if (scale !== undefined && lacks("const SCALE")) {
    return "it scales logits by 1 / sqrt(headDim) alone";
  }
  if (softCap !== undefined && lacks("fn capped(")) return "it has no soft cap";
}

/** Whether all kernels that attend have something; of those that share out attention, some. */
function hasLogits(kernels: readonly Kernel[], has: (kernel: Kernel) => boolean): boolean {
  const attends = ({ bindings }: Kernel) =>
    ["keys", "values"].every((rows) => bindings.some(({ name }) => name === rows));
  const attending = kernels.filter(attends);
  return attending.length > 0 ? attending.every(has) : kernels.some(has);
}
