/** The tests that every variant of a stage must pass; each stage's test file registers its own. */
import { assert, assertEquals } from "@std/assert";
import type { Params } from "../../kernels/core/problem/constants.ts";
import type { Plan, Stage, Variant } from "../../kernels/core/variant.ts";
import { prefixOf } from "../../kernels/core/problem/derived.ts";
import { verify } from "../../kernels/verify/verify.ts";
import { HAND_OVER_CODE } from "../../kernels/merge/hand_over.ts";
import { isPq } from "../../kernels/encode/pq.ts";
import { isNsa } from "../../kernels/pipeline/nsa_reference.ts";
import { RIVALS, VARIANTS } from "../../kernels/core/registry.ts";
import { canRun, runVariant, type TestDevice } from "../device/test_device.ts";
import { makeInputs } from "../inputs/inputs.ts";
import { CACHES, inLayout, tokensFirst } from "../inputs/caches.ts";
import { ADDING_STAGES } from "../../kernels/verify/newest_rows.ts";
import { assertKept, keptInputs } from "../inputs/kept.ts";
import { describeCase, gridOf, type TestCase } from "./grid.ts";

/** Fewest problems of a grid and corners that a variant must run for them to mean anything. */
const FEWEST_CASES = 5;

/** Fewest corners that a variant must run, if there are so many: it must not refuse them all. */
const FEWEST_CORNERS = 2;

/** Usual number of parameter sets for the test "does not depend on its parameters". */
const PARAMETER_SETS = 5;

/** The same for steps whose dispatches are tested with more sets elsewhere. */
const STEP_PARAMETER_SETS = 3;

/** The variants of a stage, without rivals and without those that need a shared prefix. */
export function variantsOf(stage: Stage): Variant[] {
  return VARIANTS.filter((each) => each.stage === stage && each.sharedPrefix !== "only");
}

/**
 * The rivals of a stage, which start from other inputs than its variants or do another system's
 * step. Those of product-quantised keys and of NSA have tests of their own.
 */
export function rivalsOf(stage: Stage): Variant[] {
  return RIVALS.filter(({ name, stage: own }) => own === stage && !isPq(name) && !isNsa(name));
}

/** The variants of a stage that work on product-quantised keys. */
export function pqVariantsOf(stage: Stage): Variant[] {
  return RIVALS.filter((variant) => variant.stage === stage && isPq(variant.name));
}

/** The variants that a stage's tests take, and the grid of their problems. */
export interface TestedVariants {
  readonly variants: readonly Variant[];
  readonly grid: readonly TestCase[];
  /** Parameter sets of the test "does not depend on its parameters". */
  readonly parameterSets?: number;
}

/**
 * Asserts that the outputs of a variant equal those of the reference, and that it leaves its buffers
 * as the next step wants them.
 */
export async function assertCorrect(
  testDevice: TestDevice,
  variant: Variant,
  test: TestCase,
  params: Params = variant.defaults(test.p, testDevice.limits),
  { unroll = false }: { readonly unroll?: boolean } = {},
): Promise<void> {
  const where = `${variant.name} ${JSON.stringify(params)} on ${describeCase(test)}`;
  const inputs = makeInputs(variant, test.p, params, test.options);
  const read = await runVariant(testDevice, variant, test.p, params, inputs, { unroll })
    .catch((error) => {
      throw new Error(`${error.message}\n${where}`, { cause: error });
    });
  const { ok, relL2, worst } = await verify(variant, test.p, params, read);
  assert(ok, `relative error ${relL2}, worst ${JSON.stringify(worst)}\n${where}`);
  for (const name of ADDING_STAGES.includes(variant.stage) ? keptInputs(test.p, inputs) : []) {
    const after = await read(name, 0, inputs[name].byteLength);
    assertKept(name, test.p, test.options.lengths, inputs[name], after, where);
  }
  for (const [name, { zeros }] of Object.entries(variant.plan(test.p, params).buffers)) {
    if (zeros === undefined) continue;
    const left = await read(name, zeros.offset, zeros.bytes);
    assert(
      left.every((byte) => byte === 0),
      `${name} is not left at zero for the next step\n${where}`,
    );
  }
}

/** Whether a plan makes outputs of queries. */
function attends({ buffers }: Plan): boolean {
  return buffers.q !== undefined && buffers.out?.role === "output";
}

/** Asserts that the outputs of the second query head, and of no other, are NaN if its query is. */
async function assertNanGoesOn(
  testDevice: TestDevice,
  variant: Variant,
  { p, options }: TestCase,
  params: Params,
): Promise<void> {
  const inputs = makeInputs(variant, p, params, options);
  const q = (inputs.q as Float32Array<ArrayBuffer>).slice();
  q[p.headDim] = NaN;
  const read = await runVariant(testDevice, variant, p, params, { ...inputs, q });
  const heads = p.batch * p.qHeads;
  const out = new Float32Array((await read("out", 0, 4 * heads * p.headDim)).slice().buffer);
  out.forEach((value, i) => {
    const isOwn = Math.floor(i / p.headDim) === 1;
    if (Number.isNaN(value) !== isOwn) assertEquals(value, isOwn ? NaN : 0, `element ${i}`);
  });
}

/** Steps of dispatches each of which has a grid of its own: in its stage, or in another step. */
const STEP_OF_STAGES = /^pipeline\/(sparse(_four|_subgroup|_sorted)?|rotated(_two|_four)?)$/;

/**
 * The most variants that share a grid. Each then runs the shaders of its own part, and together they
 * run all. That the dispatches of a step fit together shows in a third of them.
 */
function mostSharing({ name }: Variant): number {
  return STEP_OF_STAGES.test(name) ? 3 : 2;
}

/** Whether a variant takes a problem on this device. */
function takes(testDevice: TestDevice, variant: Variant, { p }: TestCase): boolean {
  const { limits } = testDevice;
  return canRun(testDevice, variant) &&
    variant.refuses(p, variant.defaults(p, limits), limits) === undefined;
}

/** Among how many variants that take a case its tests are shared, and which part is this one's. */
function shareOf(
  testDevice: TestDevice,
  variant: Variant,
  variants: readonly Variant[],
  test: TestCase,
): { readonly parts: number; readonly part: number } {
  const most = mostSharing(variant);
  const able = variants.filter((other) =>
    mostSharing(other) === most && takes(testDevice, other, test)
  );
  const parts = Math.min(most, able.length);
  return { parts, part: able.indexOf(variant) % parts };
}

/**
 * The cases of a grid that a variant is tested on: its part of those that it takes, or all of them
 * if its part has too few to mean anything.
 */
function casesFor(
  testDevice: TestDevice,
  variant: Variant,
  { variants, grid }: TestedVariants,
): TestCase[] {
  const taken = grid.filter((each) => takes(testDevice, variant, each));
  const own = taken.filter((each) => {
    const { parts, part } = shareOf(testDevice, variant, variants, each);
    return each.partOf?.get(parts) === part;
  });
  return own.length < FEWEST_CASES ? taken : own;
}

/** The corners that a variant is tested on. Steps of stages share them as they share the grid. */
function cornersFor(
  testDevice: TestDevice,
  variant: Variant,
  variants: readonly Variant[],
  corners: Readonly<Record<string, TestCase>>,
): [name: string, corner: TestCase][] {
  return Object.entries(corners).filter(([, each], i) => {
    if (!takes(testDevice, variant, each)) return false;
    if (!STEP_OF_STAGES.test(variant.name)) return true;
    const { parts, part } = shareOf(testDevice, variant, variants, each);
    return i % parts === part;
  });
}

/** Tunables whose smaller values give shorter shaders. */
const SMALL_IS_LIGHT = ["TILE", "TOKENS", "WORKGROUP", "ROWS", "COLUMN_THREADS", "COLUMNS"];

/**
 * The defaults, changed to small workgroups with little work each, whose shaders compile several
 * times faster on a software adapter.
 */
function lightParams({ limits }: TestDevice, variant: Variant, { p }: TestCase): Params {
  let params = variant.defaults(p, limits);
  for (const [name, values] of Object.entries(variant.tunables)) {
    const kind = name.split(".").at(-1);
    const ascending = [...values].sort((a, b) => a - b);
    const wanted = SMALL_IS_LIGHT.includes(kind!)
      ? ascending
      : kind === "LANES"
      ? ascending.reverse()
      : [];
    const value = wanted.find((value) =>
      variant.refuses(p, { ...params, [name]: value }, limits) === undefined
    );
    if (value !== undefined) params = { ...params, [name]: value };
  }
  return params;
}

/** A few parameter sets that a variant accepts, chosen to contain as many values as possible. */
function parameterSets(
  { limits }: TestDevice,
  variant: Variant,
  { p }: TestCase,
  most: number,
): Params[] {
  let all: Params[] = [variant.defaults(p, limits)];
  for (const [name, values] of Object.entries(variant.tunables)) {
    // Long lists are thinned by a step coprime to `values.length`, so that no value is lost.
    all = all.flatMap((params) => values.map((value) => ({ ...params, [name]: value })))
      .filter((_, i, list) => list.length <= 5000 || i % 7 === 0);
  }
  let rest = all.filter((params) => variant.refuses(p, params, limits) === undefined);
  const chosen: Params[] = [];
  const unseen = (params: Params) =>
    Object.entries(params).filter(([name, v]) => chosen.every((c) => c[name] !== v)).length;
  while (rest.length > 0 && chosen.length < most) {
    const best = rest.reduce((a, b) => unseen(b) > unseen(a) ? b : a);
    if (unseen(best) === 0) break;
    chosen.push(best);
    rest = rest.filter((params) => params !== best);
  }
  return chosen;
}

/**
 * Registers the tests of a stage's variants, on one device for the whole file.
 *
 * @param small Cases for the tests of parameters and unrolling; each variant takes the first one
 * that it runs.
 * @param corners Cases that the grid does not have; a variant that refuses one is not tested on it.
 * @param tested Other variants and their grid.
 */
export function testStage(
  stage: Stage,
  testDevice: TestDevice,
  small: TestCase | readonly TestCase[],
  corners: Readonly<Record<string, TestCase>>,
  tested: TestedVariants = { variants: variantsOf(stage), grid: gridOf(stage) },
): void {
  const { variants, grid, parameterSets: mostSets = PARAMETER_SETS } = tested;
  const smallCases = [small].flat();
  for (const variant of variants) {
    const ignore = !canRun(testDevice, variant);
    const test = (name: string, fn: () => Promise<void>) =>
      Deno.test({ name: `${variant.name}: ${name}`, ignore, fn });
    const runs = (each: TestCase) => takes(testDevice, variant, each);

    const takesCaches = ({ p }: TestCase) => {
      const params = variant.defaults(p, testDevice.limits);
      const reads = "keys" in variant.plan(p, params).buffers;
      return reads && prefixOf(p) === 0 &&
        !variant.refuses(tokensFirst(p), params, testDevice.limits);
    };

    const able = cornersFor(testDevice, variant, variants, corners);

    test("equals the reference on its part of the grid", async () => {
      const cases = casesFor(testDevice, variant, tested);
      const most = Object.keys(corners).length;
      assert(
        able.length >= Math.min(FEWEST_CORNERS, most),
        `only ${able.length} of ${most} corners`,
      );
      assert(
        cases.length + able.length >= FEWEST_CASES,
        `only ${cases.length} of ${grid.length} cases and ${able.length} corners run`,
      );
      for (const each of cases) {
        const params = lightParams(testDevice, variant, each);
        await assertCorrect(testDevice, variant, each, params);
      }
    });

    for (const [name, corner] of able) {
      test(name, () => assertCorrect(testDevice, variant, corner));
    }

    const smallCase = smallCases.find(runs) ?? smallCases[0];
    test("does not depend on its parameters", async () => {
      const most = STEP_OF_STAGES.test(variant.name) ? STEP_PARAMETER_SETS : mostSets;
      const sets = parameterSets(testDevice, variant, smallCase, most);
      assert(sets.length > 1, "only one setting of the parameters runs");
      for (const params of sets) await assertCorrect(testDevice, variant, smallCase, params);
    });

    const usual = variant.defaults(smallCase.p, testDevice.limits);
    const handOver = Object.keys(usual).find((name) => name.split(".").at(-1) === "HAND_OVER");
    // By default sequences of unequal length share workgroups.
    const sharing = Object.keys(variant.tunables).filter((name) => /\bSHARE[SD]$/.test(name));
    const apart = Object.fromEntries(sharing.map((name) => [name, 0]));
    // Steps take long to compile. Their kernels share the text that the other layouts test.
    const every = Object.entries(CACHES);
    const layouts = stage === "pipeline" ? every.slice(1, 2) : every;
    for (const [i, [name, layout]] of (takesCaches(smallCase) ? layouts : []).entries()) {
      test(`finds rows in ${name}`, async () => {
        const own = i % 2 === 1 ? apart : {};
        const params = { ...lightParams(testDevice, variant, smallCase), ...own };
        const moved = inLayout(smallCase, layout);
        assertEquals(variant.refuses(moved.p, params, testDevice.limits), undefined);
        await assertCorrect(testDevice, variant, moved, params);
      });
    }

    for (const [name, code] of handOver ? Object.entries(HAND_OVER_CODE) : []) {
      test(`computes the same with a hand-over by ${name}`, async () => {
        for (const own of sharing.length === 0 ? [{}] : [{}, apart]) {
          const light = lightParams(testDevice, variant, smallCase);
          const params = { ...light, ...own, [handOver!]: code };
          await assertCorrect(testDevice, variant, smallCase, params);
          const { p, options } = smallCase;
          const nothing = { ...p, topK: { count: 0 }, sink: 0, recent: 0 };
          await assertCorrect(testDevice, variant, { p: nothing, options }, params);
        }
      });
    }

    if (attends(variant.plan(smallCase.p, usual))) {
      test("a NaN in a query goes on to the output of its head, and to no other", async () => {
        const params = lightParams(testDevice, variant, smallCase);
        await assertNanGoesOn(testDevice, variant, smallCase, params);
      });
    }

    test("computes the same with unrolled loops", async () => {
      const params = lightParams(testDevice, variant, smallCase);
      await assertCorrect(testDevice, variant, smallCase, params, { unroll: true });
    });
  }

  Deno.test(`${stage}: no GPU error went uncaught`, () => {
    assertEquals(testDevice.uncaptured, []);
  });
}

/** Registers a test of a variant with some parameters that its defaults do not have. */
export function testSetting(
  testDevice: TestDevice,
  variant: Variant,
  name: string,
  test: TestCase,
  own: Params,
): void {
  Deno.test({
    name: `${variant.name}: ${name}`,
    ignore: !canRun(testDevice, variant),
    async fn() {
      const params = { ...variant.defaults(test.p, testDevice.limits), ...own };
      assertEquals(variant.refuses(test.p, params, testDevice.limits), undefined);
      await assertCorrect(testDevice, variant, test, params);
    },
  });
}
