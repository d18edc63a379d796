/**
 * Every variant's shaders must compile under Tint (Chromium, Dawn), which is stricter than naga
 * about uniform control flow. Dawn's null backend compiles in milliseconds and needs no driver.
 */
import { assert, assertEquals } from "@std/assert";
import type { DeviceLimits, Dispatch, Kernel, Variant } from "../variant.ts";
import type { ParamRange, Params } from "../problem/constants.ts";
import type { Problem } from "../problem/problem.ts";
import { LARGE_LIMITS } from "../device_limits.ts";
import { MATRIX_FEATURE } from "../subgroup_matrices.ts";
import { bindGroupLayout, dispatchWgsl } from "../run/program.ts";
import { CHECK_KERNELS } from "../../check/device_check.ts";
import { PROBE_KERNELS } from "../../probe/probes.ts";
import { refusesCodes, refusesPrefix } from "../define.ts";
import { dealKernel } from "../pieces.ts";
import { EVERY_VARIANT, RIVALS, VARIANTS } from "../registry.ts";
import { CACHES } from "../../../testing/inputs/caches.ts";
import { openNullDevice } from "../../../testing/device/null_device.ts";
import { type Factors, testCase } from "../../../testing/cases/grid.ts";
import { kernelFiles, kernelPath } from "../../../tools/kernel_files.ts";
import { paramDefaults, specialize } from "./wgsl.ts";

const dawn = await openNullDevice();

/** The limits of a large GPU, which refuse hardly any setting. */
const GENEROUS: DeviceLimits = {
  maxStorageBufferBindingSize: 2 ** 31 - 4,
  maxBufferSize: 2 ** 34,
  maxComputeWorkgroupStorageSize: 65536,
  maxComputeInvocationsPerWorkgroup: 1024,
  maxComputeWorkgroupsPerDimension: 65535,
  maxStorageBuffersPerShaderStage: 16,
  maxUniformBufferBindingSize: 65536,
  subgroupMinSize: 32,
  subgroupMatrices: LARGE_LIMITS.subgroupMatrices,
};

/** Rotated codes of 128 bits. */
const ROTATED_FACTORS: Partial<Factors> = { layers: 0, sharing: "kv", bits: 128, planes: 2 };

const SHAPES: Readonly<Record<string, Partial<Factors>>> = {
  "f16, a group of 4": { heads: [32, 8], headDim: 128, lengths: [8192] },
  "bf16, a group of 7, a shared code": {
    heads: [28, 4],
    headDim: 80,
    dtype: "bf16",
    bits: 128,
    sharing: "group",
    layers: 2,
    mapDtype: "f32",
    lengths: [5000, 17],
    topK: { count: 2000 },
    windows: [128, 128],
  },
  "f16, a group of 4, a shared code of one layer": {
    heads: [32, 8],
    headDim: 128,
    bits: 128,
    sharing: "group",
    layers: 1,
    lengths: [131072],
    topK: { sparsity: 32 },
    windows: [0, 0],
  },
  "bf16, a group of 10, a shared code of one layer": {
    heads: [20, 2],
    headDim: 112,
    dtype: "bf16",
    bits: 64,
    sharing: "group",
    layers: 1,
    mapDtype: "f32",
    lengths: [5000, 17],
    windows: [128, 128],
  },
  "f32, no group, nothing selected": {
    heads: [32, 32],
    headDim: 64,
    dtype: "f32",
    bits: 64,
    layers: 1,
    topK: { count: 0 },
    windows: [0, 0],
  },
  "f16, rotated codes": {
    heads: [32, 8],
    headDim: 128,
    layers: 0,
    sharing: "kv",
    bits: 128,
    planes: 2,
    lengths: [131072],
    topK: { sparsity: 160 },
    windows: [128, 128],
    ties: "higher",
  },
  "bf16, a group of 7, rotated codes of centred keys": {
    heads: [28, 4],
    headDim: 192,
    dtype: "bf16",
    layers: 0,
    sharing: "kv",
    bits: 64,
    planes: 3,
    bins: 16,
    centre: true,
    lengths: [5000, 17],
  },
  "f16, a group of 64": { heads: [64, 1], headDim: 80, lengths: [8192] },
  "f16, a group of 24, a shared code": {
    heads: [24, 1],
    headDim: 96,
    bits: 64,
    sharing: "group",
    layers: 1,
    lengths: [8192],
  },
  "f16, a group of 64, rotated codes": {
    heads: [64, 1],
    headDim: 112,
    layers: 0,
    sharing: "kv",
    bits: 128,
    planes: 2,
    lengths: [8192],
  },
  "f16, a group of 8, the longest rows": {
    heads: [64, 8],
    headDim: 256,
    hidden: 256,
    bits: 128,
    lengths: [131072],
    topK: { sparsity: 32 },
  },
  "f16, rotated codes, a shared prefix": {
    ...ROTATED_FACTORS,
    heads: [32, 8],
    headDim: 128,
    prefix: 131072,
    lengths: Array<number>(32).fill(131584),
    topK: { sparsity: 160 },
    windows: [128, 128],
    ties: "higher",
  },
  "bf16, a group of 7, rotated codes, a shared prefix": {
    ...ROTATED_FACTORS,
    heads: [28, 4],
    headDim: 192,
    dtype: "bf16",
    bits: 64,
    planes: 3,
    bins: 256,
    prefix: 5008,
    lengths: [5100, 5009, 5017],
  },
};

/** Shapes for other systems, which read no codes. */
const WITHOUT_CODES = [
  "f16, a group of 4",
  "bf16, a group of 7, rotated codes of centred keys",
  "f32, no group, nothing selected",
  "f16, a group of 64",
  "f16, a group of 8, the longest rows",
];

/** Steps whose kernels other variants run with nearly the same parameters: their defaults do. */
const LIKE_OTHERS = [
  "pipeline/dsa",
  "pipeline/dsa_portable",
  "pipeline/double_sparsity",
  "pipeline/double_sparsity_head",
  "pipeline/double_sparsity_packed",
  "pipeline/double_sparsity_portable",
  "pipeline/fox",
  "pipeline/fox_portable",
  "pipeline/mosa_hybrid",
  "pipeline/mosa_hybrid_portable",
];

/** The defaults, each tunable at each value, and all tunables at their smallest and largest. */
function corners({ name, tunables }: Variant, defaults: Params): Params[] {
  if (LIKE_OTHERS.includes(name)) return [defaults];
  const all = (pick: (...values: number[]) => number) =>
    Object.fromEntries(Object.entries(tunables).map(([name, v]) => [name, pick(...v)]));
  return [
    defaults,
    ...Object.entries(tunables).flatMap(([name, values]) =>
      values.map((value) => ({ ...defaults, [name]: value }))
    ),
    { ...defaults, ...all(Math.min) },
    { ...defaults, ...all(Math.max) },
  ];
}

const compiled = new Map<string, string | undefined>();

/** Tint's message on a shader, if it refuses it; `pipeline` also checks bindings and limits. */
async function complaint(
  kernel: Kernel,
  code: string,
  pipeline: boolean,
): Promise<string | undefined> {
  const key = `${pipeline} ${code}`;
  if (compiled.has(key)) return compiled.get(key);
  const { device } = dawn;
  device.pushErrorScope("validation");
  const module = device.createShaderModule({ code });
  if (pipeline) {
    const layout = bindGroupLayout(device, kernel);
    device.createComputePipeline({
      layout: device.createPipelineLayout({ bindGroupLayouts: [layout] }),
      compute: { module, entryPoint: "main" },
    });
  }
  const error = await device.popErrorScope();
  compiled.set(key, error?.message);
  return error?.message;
}

function inRange(value: number, range: ParamRange): boolean {
  return "min" in range ? value >= range.min && value <= range.max : range.includes(value);
}

async function assertCompiles(
  dispatch: Dispatch,
  pipeline: boolean,
  unrolls: readonly boolean[] = [false, true],
): Promise<void> {
  const { kernel, params } = dispatch;
  const where = `${kernel.name} ${JSON.stringify(params)}`;
  for (const [name, value] of Object.entries(params)) {
    assert(inRange(value, kernel.params[name]), `${name} is out of its range in ${where}`);
  }
  for (const unroll of unrolls) {
    const code = dispatchWgsl(dispatch, { unroll });
    const found = await complaint(kernel, code, pipeline);
    assertEquals(found, undefined, `${where}, unrolled: ${unroll}: ${found}`);
  }
}

for (const variant of VARIANTS) {
  for (const shape of ["f16, a group of 4", "f16, rotated codes"]) {
    const { p } = testCase(SHAPES[shape]);
    for (const [name, layout] of Object.entries(CACHES)) {
      const moved = layout(p);
      const usual = variant.defaults(moved, GENEROUS);
      if (refusesCodes(variant, p) ?? variant.refuses(moved, usual, GENEROUS)) continue;
      Deno.test(`${variant.name} compiles for ${name}: ${shape}`, async () => {
        const pipeline = !variant.refuses(moved, usual, dawn.limits) &&
          !variant.features.includes(MATRIX_FEATURE);
        for (const dispatch of variant.plan(moved, usual).dispatches) {
          await assertCompiles(dispatch, pipeline);
        }
      });
    }
  }
}

for (const variant of EVERY_VARIANT) {
  const shapes = RIVALS.includes(variant) ? WITHOUT_CODES : Object.keys(SHAPES);
  for (const shape of shapes) {
    const { p } = testCase(SHAPES[shape]);
    const usual = variant.defaults(p, GENEROUS);
    if (refusesCodes(variant, p) ?? variant.refuses(p, usual, GENEROUS)) continue;
    Deno.test(`${variant.name} compiles at each corner: ${shape}`, async () => {
      const settings = corners(variant, usual);
      const accepted = settings.filter((params) => !variant.refuses(p, params, GENEROUS));
      assert(accepted.length > Number(settings.length > 1), "nearly every corner is refused");
      // The same statements in a row take long to compile: the defaults and the extremes do.
      const extremes = [settings[0], ...settings.slice(-2)];
      for (const params of accepted) {
        const pipeline = !variant.refuses(p, params, dawn.limits) &&
          !variant.features.includes(MATRIX_FEATURE);
        const unrolls = extremes.includes(params) ? [false, true] : [false];
        for (const dispatch of variant.plan(p, params).dispatches) {
          await assertCompiles(dispatch, pipeline, unrolls);
        }
      }
    });
  }
}

/** Every kernel that some variant runs on some shape. */
const kernels = new Map<string, Kernel>(
  [...PROBE_KERNELS, ...CHECK_KERNELS, dealKernel].map((kernel) => [kernel.name, kernel]),
);
const problems: Problem[] = Object.values(SHAPES).map((factors) => testCase(factors).p);
for (const variant of EVERY_VARIANT) {
  for (const p of problems) {
    if (refusesCodes(variant, p) ?? refusesPrefix(variant, p)) continue;
    const plan = variant.plan(p, variant.defaults(p, GENEROUS));
    for (const { kernel } of plan.dispatches) kernels.set(kernel.name, kernel);
  }
}

for (const kernel of kernels.values()) {
  Deno.test(`${kernel.name}: the @param lines of the file match the ranges`, () => {
    const defaults = paramDefaults(kernel.source);
    assertEquals(Object.keys(defaults).sort(), Object.keys(kernel.params).sort());
    for (const [name, value] of Object.entries(defaults)) {
      assert(inRange(value, kernel.params[name]), `default ${value} of ${name}`);
    }
  });
}

Deno.test("every .wgsl file compiles unchanged, and some variant or probe runs it", async () => {
  for (const file of kernelFiles()) {
    const name = kernelPath(file).replace(/\.wgsl$/, "");
    const source = Deno.readTextFileSync(file);
    const kernel = kernels.get(name);
    assert(kernel !== undefined, `neither a variant nor a probe runs ${name}.wgsl`);
    const { features = [] } = kernel;
    // Without values and unrolling, only the enable line is added.
    const code = specialize(source, { unroll: false, features });
    assert(code.endsWith(source), name);
    const found = await complaint({ name, source, bindings: [], params: {} }, code, false);
    assertEquals(found, undefined, `${name}: ${found}`);
  }
});
