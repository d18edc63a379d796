/** Other formats of queries, outputs and logits: right in every variant, or refused in a sentence. */
import { assert, assertEquals, assertMatch } from "@std/assert";
import { type Factors, type TestCase, testCase } from "../../testing/cases/grid.ts";
import { canRun, openTestDevice } from "../../testing/device/test_device.ts";
import { openNullDevice } from "../../testing/device/null_device.ts";
import { assertCorrect } from "../../testing/cases/suite.ts";
import { stripped } from "../../tools/npm/wgsl_module.ts";
import { checkProblem } from "./problem/check_problem.ts";
import { LARGE_LIMITS } from "./device_limits.ts";
import { kernelOf } from "./formats.ts";
import type { Problem } from "./problem/problem.ts";
import { dispatchWgsl } from "./run/program.ts";
import { EVERY_VARIANT, findVariant, VARIANTS } from "./registry.ts";
import type { Variant } from "./variant.ts";

const testDevice = await openTestDevice();
const { device: nullDevice } = await openNullDevice();

type Formats = Pick<Problem, "qDtype" | "outDtype" | "scale" | "softCap">;

const LOGITS: Formats = { scale: 0.21, softCap: 1.5 };
const HALVES: Formats = { qDtype: "f16", outDtype: "f16" };
const ALL: Formats = { ...LOGITS, ...HALVES };
/** All but the output, whose rounding hides what is wrong by less. */
const EXACT: Formats = { ...LOGITS, qDtype: "f16" };

const SHAPES: readonly Partial<Factors>[] = [
  { heads: [6, 2], lengths: [70, 3] },
  { heads: [8, 2], sharing: "group", bits: 128, layers: 1, lengths: [70, 3] },
  { heads: [6, 2], layers: 0, sharing: "kv", bits: 128, planes: 2, lengths: [70, 3] },
  { heads: [6, 2], layers: 0, sharing: "kv", bits: 128, planes: 2, prefix: 48, lengths: [70, 49] },
];

function cases(formats: Formats): TestCase[] {
  return SHAPES.map((shape) => {
    const { p, options } = testCase(shape);
    return { p: { ...p, ...formats }, options };
  });
}

/** The first case that a variant runs; undefined if it refuses them all. */
function caseOf(variant: Variant, formats: Formats, limits = testDevice.limits) {
  return cases(formats).find(({ p }) =>
    variant.refuses(p, variant.defaults(p, limits), limits) === undefined
  );
}

/** Variants that a decoder runs, and the stages that a step is made of. */
const STAGES = ["encode_query", "attend", "merge", "dense", "pipeline"];
const TAKEN = VARIANTS.filter(({ stage, precision }) => STAGES.includes(stage) && !precision);

/** Pipelines whose attention no variant before them has. */
const OWN_ATTENTION = [
  "pipeline/sparse_three",
  "pipeline/sparse_two_group",
  "pipeline/rotated_short",
];

for (const variant of TAKEN) {
  Deno.test({
    name: `${variant.name} takes f16 queries and outputs, a scale and a soft cap`,
    ignore: !canRun(testDevice, variant),
    async fn() {
      const isLike = variant.stage === "pipeline" && !OWN_ATTENTION.includes(variant.name);
      for (const formats of isLike ? [ALL] : [EXACT, ALL]) {
        const test = caseOf(variant, formats);
        assert(test !== undefined, `${variant.name} refuses ${JSON.stringify(formats)}`);
        await assertCorrect(testDevice, variant, test);
      }
    },
  });
}

for (const name of ["dense/split", "dense/split_subgroup"]) {
  const variant = findVariant(name);
  Deno.test({
    name: `${name}: a soft cap is exact for small logits and for those far beyond it`,
    ignore: !canRun(testDevice, variant),
    async fn() {
      for (const [scale, softCap] of [[0.125, 50], [0.01, 30], [5, 3]]) {
        const { p, options } = testCase({ heads: [4, 2], lengths: [65] });
        await assertCorrect(testDevice, variant, { p: { ...p, scale, softCap }, options });
      }
    },
  });
}

Deno.test("Tint compiles every text of the other formats, also those of the package", async () => {
  let count = 0;
  for (const variant of VARIANTS) {
    const test = caseOf(variant, ALL, LARGE_LIMITS);
    if (!test) continue;
    const { p } = test;
    const params = variant.defaults(p, LARGE_LIMITS);
    const { qDtype: _, outDtype: __, scale: ___, softCap: ____, ...usual } = p;
    const texts = variant.plan(usual, params).dispatches;
    for (const [i, dispatch] of variant.plan(p, params).dispatches.entries()) {
      const { kernel } = dispatch;
      const packed = { ...kernel, source: stripped(texts[i].kernel.source) };
      assertEquals(stripped(kernelOf(packed, p).source), stripped(kernel.source), kernel.name);
      nullDevice.pushErrorScope("validation");
      nullDevice.createShaderModule({ code: dispatchWgsl(dispatch) });
      const error = await nullDevice.popErrorScope();
      assertEquals(error?.message, undefined, kernel.name);
      count++;
    }
  }
  assert(count > 50, `${count} dispatches`);
});

Deno.test("the usual problem has the kernels as they are", () => {
  const formats = { qDtype: "f32", outDtype: "f32", scale: undefined, softCap: undefined } as const;
  for (const variant of EVERY_VARIANT) {
    const [p, usual] = [{}, formats].map((own) => caseOf(variant, own, LARGE_LIMITS)?.p);
    if (!p || !usual) continue;
    const params = variant.defaults(p, LARGE_LIMITS);
    const kernels = (each: Problem) =>
      variant.plan(each, params).dispatches.map(({ kernel }) => kernel);
    assertEquals(kernels(usual).every((kernel, i) => kernel === kernels(p)[i]), true, variant.name);
    const halves = variant.plan({ ...p, ...ALL }, params).dispatches.map(({ kernel }) => kernel);
    for (const [i, kernel] of halves.entries()) {
      const [own, own0] = [kernel.source, kernels(p)[i].source].map((text) => text.split("\n"));
      assertEquals(kernel.name, kernels(p)[i].name);
      // Only the bindings, the constant and the functions differ.
      const changed = own0.filter((line) => !own.includes(line));
      for (const line of changed) {
        assertMatch(line, /array<(vec4f|f32)>;$|^const SCALE|return (q\[at\]|logit);|out\[at\] = /);
      }
    }
  }
});

Deno.test("variants refuse formats that they do not know in a sentence", () => {
  const refusal = (name: string, formats: Formats, shape: Partial<Factors> = {}) => {
    const { p } = testCase({ heads: [4, 2], ...shape });
    const variant = findVariant(name);
    return variant.refuses({ ...p, ...formats }, variant.defaults(p, LARGE_LIMITS), LARGE_LIMITS);
  };
  assertEquals(refusal("score/dot", { qDtype: "f16" }), "score/dot takes q and out in f32 alone");
  assertEquals(refusal("score/dot", LOGITS), undefined);
  assertEquals(
    refusal("prefill/flash", { scale: 1 }),
    "it scales logits by 1 / sqrt(headDim) alone",
  );
  assertEquals(refusal("prefill/flash", { softCap: 1 }), "it has no soft cap");
  assertEquals(refusal("pipeline/fox", { softCap: 1 }), "it has no soft cap");
  assertMatch(refusal("pipeline/fox", HALVES)!, /takes q and out in f32 alone$/);
  assertMatch(refusal("pipeline/fox", { outDtype: "f16" })!, /takes q and out in f32 alone$/);
});

Deno.test("checkProblem() says which formats there are", () => {
  const message = (own: Record<string, unknown>) => {
    try {
      checkProblem({ ...testCase({}).p, ...own } as Problem);
    } catch (error) {
      return (error as Error).message;
    }
  };
  assertEquals(message({ qDtype: "bf16" }), "qDtype must be one of f32, f16, got bf16");
  assertEquals(message({ outDtype: "f8" }), "outDtype must be one of f32, f16, got f8");
  for (const scale of [0, -1, NaN, Infinity]) {
    assertEquals(
      message({ scale }),
      `scale must be a number from 0.000001 to 1000000, got ${scale}`,
    );
  }
  assertEquals(message({ softCap: 0 }), "softCap must be a number from 0.001 to 1000000, got 0");
  assertEquals(message(ALL), undefined);
});

Deno.test("other formats: no GPU error went uncaught", () => {
  assertEquals(testDevice.uncaptured, []);
});
