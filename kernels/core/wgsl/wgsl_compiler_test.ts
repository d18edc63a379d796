/**
 * The compiler must be recognised from the device and not from the runtime: both naga (Deno's own)
 * and Tint (Dawn) run inside Deno.
 */
import { assert, assertEquals, assertMatch, assertRejects } from "@std/assert";
import { create } from "webgpu";
import { checkDevice } from "../../check/device_check.ts";
import { createDecoder } from "../../decoder/decoder.ts";
import { planDecoder } from "../../decoder/decoder_plan.ts";
import { limitsOf } from "../device_limits.ts";
import { type CompileOptions, compilePlan } from "../run/program.ts";
import { openTestDevice } from "../../../testing/device/test_device.ts";
import { testCase } from "../../../testing/cases/grid.ts";
import { type Dialect, FEATURE_EXTENSIONS, STANDARD_DIALECT } from "./wgsl.ts";
import { compilerOf, dialectOf, languageFeaturesOf, PACKED_DOT } from "./wgsl_compiler.ts";

/** Dawn's devices live only as long as the object from `create`, so the module keeps it. */
const gpu = create(["backend=null"]);

async function nullDevice(...requiredFeatures: GPUFeatureName[]): Promise<GPUDevice> {
  const adapter = await gpu.requestAdapter();
  return await adapter!.requestDevice({ requiredFeatures });
}

const BOTH = ["shader-f16", "subgroups"];
const ALL = Object.keys(FEATURE_EXTENSIONS).sort();

Deno.test("compilerOf() finds naga in Deno, which takes no line for subgroups", async () => {
  const { device, features } = await openTestDevice();
  assertEquals(await compilerOf(device), "naga");
  const { enables } = await dialectOf(device);
  assert(enables.has("shader-f16"));
  assertEquals(enables.has("subgroups"), !features.has("subgroups"));
  device.destroy();
});

Deno.test("compilerOf() finds Tint in Dawn, which needs every enable line", async () => {
  for (const features of [[], BOTH]) {
    const device = await nullDevice(...features as GPUFeatureName[]);
    assertEquals(await compilerOf(device), "tint");
    assertEquals([...(await dialectOf(device)).enables].sort(), ALL);
    device.destroy();
  }
});

const { p: problem } = testCase({ lengths: [300] });
const SUBGROUP = { variant: "pipeline/sparse_subgroup" };

/** Compiles every kernel of a decoder with subgroups. The null device cannot run them. */
async function compileDecoder(device: GPUDevice, options: CompileOptions): Promise<string[]> {
  const facts = { features: new Set<string>(device.features), limits: limitsOf(device) };
  const { step, encode } = planDecoder(problem, facts, SUBGROUP);
  const plans = [step, encode!.prompt, encode!.append];
  const programs = await Promise.all(plans.map((plan) => compilePlan(device, plan, options)));
  return programs.flatMap(({ steps }) => steps.map(({ dispatch }) => dispatch.kernel.name));
}

/** Records every shader that is compiled on a device from now on. */
function keepCompiled(device: GPUDevice): GPUShaderModuleDescriptor[] {
  const compiled: GPUShaderModuleDescriptor[] = [];
  const create = device.createShaderModule.bind(device);
  device.createShaderModule = (descriptor) => {
    compiled.push(descriptor);
    return create(descriptor);
  };
  return compiled;
}

/** Whether the dialect of a device was tried out. */
function wasAsked(compiled: readonly GPUShaderModuleDescriptor[]): boolean {
  return compiled.some(({ code }) => code === "enable subgroups;");
}

Deno.test("compilePlan() compiles a decoder with subgroups on Dawn in Deno", async () => {
  const device = await nullDevice("subgroups");
  const compiled = keepCompiled(device);
  const kernels = await compileDecoder(device, {});
  assert(kernels.includes("encode/prompt"), kernels.join());
  assert(wasAsked(compiled));
  assert(compiled.some(({ label, code }) => label && code.startsWith("enable subgroups;\n")));
  device.destroy();
});

const NO_LINES: Dialect = { enables: new Set() };

Deno.test("createDecoder() and checkDevice() use a given dialect without trying any", async () => {
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

Deno.test("createDecoder() fails on Dawn without the enable line for subgroups", async () => {
  const device = await nullDevice("subgroups");
  const options = { dialect: NO_LINES };
  const refused = "does not compile";
  const check = await assertRejects(() => createDecoder(device, problem, options), Error, refused);
  assertMatch(check.message, /^check\/subgroups .*without extension 'subgroups'/s);
  const kernels = await assertRejects(() => compileDecoder(device, options), Error, refused);
  assertMatch(kernels.message, /^(?!check)\w+\/\w+ .*without extension 'subgroups'/s);
  // The failure in the wrong dialect must not be kept for the right one.
  const decoder = await createDecoder(device, problem, { dialect: STANDARD_DIALECT });
  decoder.destroy();
  device.destroy();
});

/** A device whose compiler refuses the name of an `enable` line with `words`, if there are any. */
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

/**
 * Accepts the names in `accepted`, and refuses those in `known` in other words than unknown ones.
 */
function refusing(known: readonly string[], accepted: readonly string[]) {
  return (name: string): string | undefined => {
    if (accepted.includes(name)) return undefined;
    return known.includes(name) ? `${name} is not allowed here` : `${name}: no such extension`;
  };
}

Deno.test("compilerOf() recognises a naga that accepts the enable line for subgroups", async () => {
  for (const inError of [true, false]) {
    const words = refusing(["wgpu_ray_query", "f16"], ["subgroups"]);
    const { device } = fakeDevice(["subgroups"], words, { inError });
    assertEquals(await compilerOf(device), "naga");
    assertEquals([...(await dialectOf(device)).enables].sort(), ALL);
  }
});

const UNKNOWN: Readonly<Record<string, (name: string) => string | undefined>> = {
  "knows the extensions of neither": refusing([], BOTH),
  "knows the extensions of both": refusing(
    ["wgpu_ray_query", "chromium_disable_uniformity_analysis"],
    [],
  ),
  "accepts every name": () => undefined,
  "refuses every name in the same words": () => "the module is not valid",
};

for (const [what, words] of Object.entries(UNKNOWN)) {
  Deno.test(`compilerOf() is unknown for a compiler that ${what}`, async () => {
    assertEquals(await compilerOf(fakeDevice([], words).device), "unknown");
  });
}

Deno.test("dialectOf() tries each device once, and only the features that it has", async () => {
  const { device, compiled } = fakeDevice(["shader-f16"], () => "the module is not valid");
  const [first, second] = await Promise.all([dialectOf(device), dialectOf(device)]);
  assertEquals(first, second);
  assertEquals([...first.enables].sort(), ALL.filter((name) => name !== "shader-f16"));
  await dialectOf(device);
  assertEquals(compiled, ["enable f16;"]);
  await compilerOf(device);
  const asked = compiled.length;
  await compilerOf(device);
  assertEquals(compiled.length, asked);
});

Deno.test("languageFeaturesOf() asks the compiler, whatever the device has", async () => {
  const { device, features } = await openTestDevice();
  assertEquals([...await languageFeaturesOf(device)], [PACKED_DOT]);
  assert(features.has(PACKED_DOT));
  assertEquals([...await languageFeaturesOf(await nullDevice())], [PACKED_DOT]);
  device.destroy();
});

Deno.test("languageFeaturesOf() leaves out what a compiler refuses", async () => {
  const device = await nullDevice();
  const refusing = new Proxy(device, {
    get(target, name) {
      if (name === "createShaderModule") {
        return () => target.createShaderModule({ code: "an older compiler's complaint" });
      }
      const value = Reflect.get(target, name);
      return typeof value === "function" ? value.bind(target) : value;
    },
  });
  assertEquals([...await languageFeaturesOf(refusing)], []);
});
