import { assert, assertEquals, assertThrows } from "@std/assert";
import type { Dispatch, Plan } from "../variant.ts";
import type { Params } from "../problem/constants.ts";
import { bindGroupLayout, bufferSize, bufferUsage, dispatchWgsl } from "../run/program.ts";
import { EVERY_VARIANT } from "../registry.ts";
import { LARGE_LIMITS } from "../device_limits.ts";
import { MATRIX_FEATURE } from "../subgroup_matrices.ts";
import { openNullDevice } from "../../../testing/device/null_device.ts";
import { type Factors, rotatedCase, testCase } from "../../../testing/cases/grid.ts";
import { bindingsOf, workgroupFacts } from "./wgsl_facts.ts";

Deno.test("bindingsOf() reads every kind of binding, in the order of their numbers", () => {
  const source = `
@group(0) @binding(1) var<storage, read_write> out: array<vec4f>;
@group(0) @binding(0) var<storage, read> q: array<f32>; // @group(0) in a comment
@group(0) @binding(2) var<uniform> sinks: array<vec4f, 8>;
var<workgroup> sums: array<f32, 4>;`;
  assertEquals(bindingsOf(source), [
    { name: "q", access: "read" },
    { name: "out", access: "read_write" },
    { name: "sinks", access: "uniform" },
  ]);
});

Deno.test("bindingsOf() refuses a gap in the binding numbers", () => {
  const source = "@group(0) @binding(1) var<storage, read> q: array<f32>;";
  assertThrows(() => bindingsOf(source), SyntaxError, "nothing is bound at @binding(0)");
});

Deno.test("workgroupFacts() rounds each variable up to 16 bytes and takes parameters", () => {
  const source = `
const WORKGROUP: u32 = 64u; // @param
const ROWS = max(WORKGROUP / 16u,
  3u);
var<workgroup> flag: u32;
var<workgroup> pairs: array<vec2<u32>, ROWS + 1u>;
var<workgroup> nested: array<array<vec3f, 2>, min(ROWS, 2u)>;
@compute @workgroup_size(WORKGROUP)
fn main() {}`;
  assertEquals(workgroupFacts(source, {}), { threads: 64, bytes: 16 + 48 + 64 });
  assertEquals(workgroupFacts(source, { WORKGROUP: 128 }), { threads: 128, bytes: 16 + 80 + 64 });
});

Deno.test("workgroupFacts() refuses unknown sizes and types", () => {
  const factsOf = (type: string) => () => workgroupFacts(`var<workgroup> a: ${type};`, {});
  assertThrows(factsOf("array<u32, UNKNOWN>"), SyntaxError, "the size UNKNOWN of a has no value");
  assertThrows(factsOf("mat2x2f"), SyntaxError, "a has the unknown type mat2x2f");
});

const dawn = await openNullDevice();
const MOST_BYTES = dawn.limits.maxComputeWorkgroupStorageSize;

/** Tint's message on a shader with `addedBytes` more bytes of workgroup memory. */
async function complaint(dispatch: Dispatch, addedBytes: number): Promise<string | undefined> {
  const text = dispatchWgsl(dispatch, { unroll: false });
  const main = text.indexOf("fn main(");
  const body = text.indexOf("{\n", main) + 2;
  assert(main >= 0 && body > main, dispatch.kernel.name);
  const code = `${text.slice(0, body)}  _ = &filler;\n${text.slice(body)}\n` +
    `var<workgroup> filler: array<vec4<u32>, ${addedBytes / 16}>;\n`;
  const { device } = dawn;
  device.pushErrorScope("validation");
  device.createComputePipeline({
    layout: device.createPipelineLayout({
      bindGroupLayouts: [bindGroupLayout(device, dispatch.kernel)],
    }),
    compute: { module: device.createShaderModule({ code }), entryPoint: "main" },
  });
  return (await device.popErrorScope())?.message;
}

const SHAPES: Readonly<Record<string, Partial<Factors>>> = {
  "f16, a group of 4": { heads: [32, 8], headDim: 128, lengths: [8192] },
  "bf16, a group of 7, a shared code": {
    heads: [28, 4],
    headDim: 80,
    dtype: "bf16",
    bits: 64,
    sharing: "group",
    layers: 1,
    lengths: [5000, 17],
  },
  "f32, long rows": { heads: [8, 8], headDim: 256, dtype: "f32", lengths: [4096] },
  "rotated": { layers: 0, sharing: "kv", bits: 128, planes: 2, lengths: [4096] },
  "the largest group": { heads: [64, 1], headDim: 192, sharing: "group", lengths: [4096] },
  "rotated, the largest group": {
    heads: [64, 1],
    headDim: 112,
    layers: 0,
    sharing: "kv",
    bits: 128,
    planes: 2,
    lengths: [4096],
  },
  "rotated, a shared prefix": {
    layers: 0,
    sharing: "kv",
    bits: 128,
    planes: 2,
    prefix: 2048,
    lengths: [4096, 2050],
  },
  "rotated, long rows": { layers: 0, sharing: "kv", headDim: 256, bits: 32, lengths: [4096, 7] },
};

/** Steps whose kernel binds more buffers than the null device allows. */
const MANY_BUFFERS = ["pipeline/acp", "pipeline/fox"];

/** Kernels of matrices need more workgroup memory than the null device has. */
const SMALL = EVERY_VARIANT.filter(({ name, features }) =>
  !features.includes(MATRIX_FEATURE) && !MANY_BUFFERS.includes(name)
);

for (const variant of SMALL) {
  Deno.test(`workgroupFacts() counts every byte of ${variant.name}`, async () => {
    let compiled = 0;
    for (const factors of Object.values(SHAPES)) {
      const { p } = testCase(factors);
      const params = variant.defaults(p, dawn.limits);
      if (variant.refuses(p, params, dawn.limits)) continue;
      for (const dispatch of variant.plan(p, params).dispatches) {
        const { bytes } = workgroupFacts(dispatch.kernel.source, dispatch.params);
        const room = MOST_BYTES - bytes;
        assert(room >= 0 && room % 16 === 0, `${dispatch.kernel.name} leaves ${room} bytes`);
        if (room > 0) assertEquals(await complaint(dispatch, room), undefined);
        const message = await complaint(dispatch, room + 16);
        assert(message?.includes("workgroup"), `${dispatch.kernel.name}: ${message}`);
        compiled++;
      }
    }
    assert(compiled > 0, "no shape runs");
  });
}

/** The device's message on bind groups of buffers with exactly the sizes of the plan. */
async function bindingComplaint(dispatch: Dispatch, plan: Plan): Promise<string | undefined> {
  const { device } = dawn;
  const { kernel, rename } = dispatch;
  device.pushErrorScope("validation");
  // An automatic layout requires the sizes that the text declares.
  const pipeline = device.createComputePipeline({
    layout: "auto",
    compute: {
      module: device.createShaderModule({ code: dispatchWgsl(dispatch, { unroll: false }) }),
      entryPoint: "main",
    },
  });
  const buffers = kernel.bindings.map(({ name }) => {
    const spec = plan.buffers[rename?.[name] ?? name];
    return device.createBuffer({
      size: bufferSize(spec.bytes),
      usage: bufferUsage(spec),
    });
  });
  const group = device.createBindGroup({
    layout: pipeline.getBindGroupLayout(0),
    entries: buffers.map((buffer, binding) => ({ binding, resource: { buffer } })),
  });
  const encoder = device.createCommandEncoder();
  const pass = encoder.beginComputePass();
  pass.setPipeline(pipeline);
  pass.setBindGroup(0, group);
  pass.dispatchWorkgroups(1);
  pass.end();
  encoder.finish();
  const error = await device.popErrorScope();
  buffers.forEach((buffer) => buffer.destroy());
  return error?.message;
}

for (const variant of EVERY_VARIANT) {
  for (const handOver of ["dispatch", "atomics", "barrier"] as const) {
    const limits = { ...dawn.limits, handOver };
    const { p } = testCase({ heads: [6, 2], lengths: [300, 40], windows: [8, 8] });
    const shared = testCase({ heads: [6, 2], sharing: "group", layers: 1, lengths: [300] }).p;
    const prefixed = rotatedCase({ heads: [6, 2], prefix: 32, lengths: [300, 40] }).p;
    const accepted = [p, shared, prefixed].find((each) =>
      !variant.refuses(each, variant.defaults(each, limits), limits)
    );
    const handsOver = accepted && "HAND_OVER" in unprefixed(variant.defaults(accepted, limits));
    if (!accepted || (handOver !== "dispatch" && !handsOver)) continue;
    Deno.test(`${variant.name}: buffers fit what its text declares, by ${handOver}`, async () => {
      const plan = variant.plan(accepted, variant.defaults(accepted, limits));
      for (const dispatch of plan.dispatches) {
        assertEquals(await bindingComplaint(dispatch, plan), undefined, dispatch.kernel.name);
        const state = ["hand_over", "list_state"].find((name) => plan.buffers[name]);
        if (!state || !dispatch.kernel.bindings.some(({ name }) => name === state)) continue;
        if (dispatch.rename?.[state]) continue;
        const spec = plan.buffers[state];
        const less = { ...plan.buffers, [state]: { ...spec, bytes: spec.bytes / 4 } };
        const message = await bindingComplaint(dispatch, { ...plan, buffers: less });
        // A text that declares a runtime-sized array accepts any size.
        if (/struct (HandOver|ListState)/.test(dispatch.kernel.source)) assert(message, state);
      }
    });
  }
}

/** Parameters by their names without the stage, such as BLOCK for `score.BLOCK`. */
function unprefixed(params: Params): Params {
  return Object.fromEntries(
    Object.entries(params).map(([name, value]) => [name.split(".").at(-1)!, value]),
  );
}

const PORTABLE_BINDINGS = 8;
const FUSED_BINDINGS = 9;

for (const variant of EVERY_VARIANT) {
  const most = variant.features.length === 0 ? PORTABLE_BINDINGS : FUSED_BINDINGS;
  Deno.test(`${variant.name} binds at most ${most} storage buffers`, () => {
    const halves = testCase({ heads: [4, 1], headDim: 64, dtype: "f16", lengths: [256] });
    const cases = [
      testCase({}),
      testCase({ sharing: "group", layers: 1 }),
      rotatedCase({}),
      rotatedCase({ prefix: 144 }),
      halves,
    ];
    const p = cases.map(({ p }) => p)
      .find((each) => !variant.refuses(each, variant.defaults(each, LARGE_LIMITS), LARGE_LIMITS))!;
    for (const { kernel } of variant.plan(p, variant.defaults(p, LARGE_LIMITS)).dispatches) {
      const storage = kernel.bindings.filter(({ access }) => access !== "uniform");
      assert(storage.length <= most, `${kernel.name} binds ${storage.length}`);
    }
  });
}
