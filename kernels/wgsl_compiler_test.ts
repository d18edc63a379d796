/** Who compiles is told from the device alone: inside Deno run both naga (its own) and Tint (Dawn). */
import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { create } from "webgpu";
import { createDecoder } from "./pipeline/decoder.ts";
import { openTestDevice } from "./testing.ts";
import { testCase } from "./testing_grid.ts";
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

Deno.test("a decoder with subgroups compiles on Dawn inside Deno", async () => {
  const device = await nullDevice("subgroups");
  const { p } = testCase({ lengths: [300] });
  const decoder = await createDecoder(device, p, { contender: "pipeline/sparse_subgroup" });
  assertEquals(decoder.contender, "pipeline/sparse_subgroup");
  decoder.destroy();
  device.destroy();
});

Deno.test("a given dialect is taken instead of asking", async () => {
  const device = await nullDevice("subgroups");
  const { p } = testCase({ lengths: [300] });
  const options = {
    contender: "pipeline/sparse_subgroup",
    dialect: { enables: new Set<string>() },
  };
  const error = await createDecoder(device, p, options).catch((error: Error) => error);
  assert(error instanceof Error);
  assertStringIncludes(error.message, "without extension 'subgroups'");
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
