/** Who compiles is told from the device alone: inside Deno run both naga (its own) and Tint (Dawn). */
import { assert, assertEquals, assertMatch, assertRejects } from "@std/assert";
import { create } from "webgpu";
import { checkDevice } from "../check/device_check.ts";
import { createDecoder } from "../decoder/decoder.ts";
import { planDecoder } from "../decoder/decoder_plan.ts";
import { limitsOf } from "./device_limits.ts";
import { type CompileOptions, compilePlan } from "./program.ts";
import { openTestDevice } from "../../testing/testing.ts";
import { testCase } from "../../testing/testing_grid.ts";
import { type Dialect, STANDARD_DIALECT } from "./wgsl.ts";
import { compilerOf, dialectOf } from "./wgsl_compiler.ts";

/** Dawn ends with the object that `create` gives: what holds the device has to hold that too. */
const gpu = create(["backend=null"]);

async function nullDevice(...requiredFeatures: GPUFeatureName[]): Promise<GPUDevice> {
  const adapter = await gpu.requestAdapter();
  return await adapter!.requestDevice({ requiredFeatures });
}

const BOTH = ["shader-f16", "subgroups"];

Deno.test("Deno's own device has naga, which refuses the line for subgroups", async () => {
  const { device, features } = await openTestDevice();
  assertEquals(await compilerOf(device), "naga");
  const { enables } = await dialectOf(device);
  assert(enables.has("shader-f16"));
  assertEquals(enables.has("subgroups"), !features.has("subgroups"));
  device.destroy();
});

Deno.test("Dawn's device has Tint, which wants every line, with and without features", async () => {
  for (const features of [[], BOTH]) {
    const device = await nullDevice(...features as GPUFeatureName[]);
    assertEquals(await compilerOf(device), "tint");
    assertEquals([...(await dialectOf(device)).enables].sort(), BOTH);
    device.destroy();
  }
});

const { p: problem } = testCase({ lengths: [300] });
const SUBGROUP = { variant: "pipeline/sparse_subgroup" };

/** Compiles all that a decoder with subgroups runs. The null device computes nothing to check. */
async function compileDecoder(device: GPUDevice, options: CompileOptions): Promise<string[]> {
  const facts = { features: new Set<string>(device.features), limits: limitsOf(device) };
  const { step, encode } = planDecoder(problem, facts, SUBGROUP);
  const plans = [step, encode!.prompt, encode!.append];
  const programs = await Promise.all(plans.map((plan) => compilePlan(device, plan, options)));
  return programs.flatMap(({ steps }) => steps.map(({ dispatch }) => dispatch.kernel.name));
}

/** Keeps whatever is compiled on a device from now on. */
function keepCompiled(device: GPUDevice): GPUShaderModuleDescriptor[] {
  const compiled: GPUShaderModuleDescriptor[] = [];
  const create = device.createShaderModule.bind(device);
  device.createShaderModule = (descriptor) => {
    compiled.push(descriptor);
    return create(descriptor);
  };
  return compiled;
}

/** Whether a device was asked for its dialect. */
function wasAsked(compiled: readonly GPUShaderModuleDescriptor[]): boolean {
  return compiled.some(({ code }) => code === "enable subgroups;");
}

Deno.test("the kernels of a decoder with subgroups compile on Dawn inside Deno", async () => {
  const device = await nullDevice("subgroups");
  const compiled = keepCompiled(device);
  const kernels = await compileDecoder(device, {});
  assert(kernels.includes("encode/prompt"), kernels.join());
  assert(wasAsked(compiled));
  assert(compiled.some(({ label, code }) => label && code.startsWith("enable subgroups;\n")));
  device.destroy();
});

const NO_LINES: Dialect = { enables: new Set() };

Deno.test("a given dialect is taken instead of asking, by the check and by the decoder", async () => {
  const device = await nullDevice("subgroups");
  const compiled = keepCompiled(device);
  const decoder = await createDecoder(device, problem, {
    variant: "pipeline/sparse",
    dialect: STANDARD_DIALECT,
  });
  decoder.destroy();
  await checkDevice(device, "barrier", STANDARD_DIALECT);
  const labels = compiled.map(({ label }) => label);
  for (const kernel of ["check/subgroups", "check/hand_over", "encode/prompt"]) {
    assert(labels.includes(kernel), `${kernel} is not among ${labels}`);
  }
  assert(!wasAsked(compiled));
  device.destroy();
});

Deno.test("without the line that Dawn wants neither the check nor the kernels compile", async () => {
  const device = await nullDevice("subgroups");
  const options = { dialect: NO_LINES };
  const refused = "does not compile";
  const check = await assertRejects(() => createDecoder(device, problem, options), Error, refused);
  assertMatch(check.message, /^check\/subgroups .*without extension 'subgroups'/s);
  const kernels = await assertRejects(() => compileDecoder(device, options), Error, refused);
  assertMatch(kernels.message, /^(?!check)\w+\/\w+ .*without extension 'subgroups'/s);
  // What a wrong dialect came to is not kept for the right one.
  const decoder = await createDecoder(device, problem, { dialect: STANDARD_DIALECT });
  decoder.destroy();
  device.destroy();
});

/** A device of a compiler that says `words` against the name of an `enable` line, or nothing. */
function fakeDevice(
  features: readonly string[],
  words: (name: string) => string | undefined,
  { inError }: { readonly inError: boolean } = { inError: true },
): { device: GPUDevice; compiled: string[] } {
  const compiled: string[] = [];
  const scopes: (string | undefined)[] = [];
  const device = {
    features: new Set(features),
    pushErrorScope: () => scopes.push(undefined),
    createShaderModule({ code }: GPUShaderModuleDescriptor) {
      compiled.push(code);
      const found = words(/^enable (\w+);$/.exec(code)![1]);
      scopes[scopes.length - 1] = found;
      const messages = found === undefined ? [] : [{ type: "error", message: found }];
      return { getCompilationInfo: () => Promise.resolve({ messages }) };
    },
    popErrorScope() {
      const found = scopes.pop();
      if (found === undefined) return Promise.resolve(null);
      return Promise.resolve({ message: inError ? found : "Shader module creation failed" });
    },
  };
  return { device: device as unknown as GPUDevice, compiled };
}

/** Refuses unknown names in one way, those of `known` in another, and takes those of `taken`. */
function refusing(known: readonly string[], taken: readonly string[]) {
  return (name: string): string | undefined => {
    if (taken.includes(name)) return undefined;
    return known.includes(name) ? `${name} is not allowed here` : `${name}: no such extension`;
  };
}

Deno.test("a naga that takes the line for subgroups is naga still, wherever its words are", async () => {
  for (const inError of [true, false]) {
    const words = refusing(["wgpu_ray_query", "f16"], ["subgroups"]);
    const { device } = fakeDevice(["subgroups"], words, { inError });
    assertEquals(await compilerOf(device), "naga");
    assertEquals([...(await dialectOf(device)).enables].sort(), BOTH);
  }
});

const UNKNOWN: Readonly<Record<string, (name: string) => string | undefined>> = {
  "knows the extensions of neither": refusing([], BOTH),
  "knows the extensions of both": refusing(
    ["wgpu_ray_query", "chromium_disable_uniformity_analysis"],
    [],
  ),
  "accepts whatever is enabled": () => undefined,
  "does not say what it refuses": () => "the module is not valid",
};

for (const [what, words] of Object.entries(UNKNOWN)) {
  Deno.test(`a compiler that ${what} is unknown`, async () => {
    assertEquals(await compilerOf(fakeDevice([], words).device), "unknown");
  });
}

Deno.test("a device is asked once, and only about features that it has", async () => {
  const { device, compiled } = fakeDevice(["shader-f16"], () => "the module is not valid");
  const [first, second] = await Promise.all([dialectOf(device), dialectOf(device)]);
  assertEquals(first, second);
  assertEquals([...first.enables], ["subgroups"]);
  await dialectOf(device);
  assertEquals(compiled, ["enable f16;"]);
  await compilerOf(device);
  const asked = compiled.length;
  await compilerOf(device);
  assertEquals(compiled.length, asked);
});
