/**
 * Finds out which WGSL compiler a device has by compiling tiny modules. The names of the runtime
 * and of the adapter do not identify it.
 */
import { type Dialect, FEATURE_EXTENSIONS } from "./wgsl.ts";

/** The WGSL language feature of products of four bytes. */
export const PACKED_DOT = "packed_4x8_integer_dot_product";

/** For each language feature that a kernel may use, a module that does. */
const LANGUAGE_FEATURES: Readonly<Record<string, string>> = {
  [PACKED_DOT]: "fn product(a: u32, b: u32) -> i32 { return dot4I8Packed(a, b); }",
};

/**
 * The language features that a device's compiler knows. They need no request and no `enable` line,
 * and are asked of the compiler, since the list of an implementation need not be of this device's.
 */
export async function languageFeaturesOf(device: GPUDevice): Promise<Set<string>> {
  const asked = Object.entries(LANGUAGE_FEATURES).map(async ([name, code]) =>
    await complaint(device, code) === undefined ? [name] : []
  );
  return new Set((await Promise.all(asked)).flat());
}

/** A WGSL compiler: naga (wgpu: Deno, Firefox), Tint (Dawn: Chromium), or an unrecognised one. */
export type Compiler = "naga" | "tint" | "unknown";

const dialects = new WeakMap<GPUDevice, Promise<Dialect>>();
const compilers = new WeakMap<GPUDevice, Promise<Compiler>>();

/**
 * The dialect of a device's compiler. Some compilers refuse the `enable` line of a feature that the
 * device has, as naga did for subgroups. They accept the feature's functions without the line. The
 * result is kept for each device.
 */
export function dialectOf(device: GPUDevice): Promise<Dialect> {
  let known = dialects.get(device);
  if (!known) dialects.set(device, known = askDialect(device));
  return known;
}

async function askDialect(device: GPUDevice): Promise<Dialect> {
  const features = Object.entries(FEATURE_EXTENSIONS);
  const wanted = await Promise.all(features.map(async ([feature, extension]) => {
    // Without the feature every compiler refuses the line, so trying it would show nothing.
    if (!device.features.has(feature as GPUFeatureName)) return true;
    return await complaint(device, `enable ${extension};`) === undefined;
  }));
  return { enables: new Set(features.filter((_, i) => wanted[i]).map(([feature]) => feature)) };
}

/** For each compiler, a WGSL extension that no other compiler knows. */
const OWN_EXTENSIONS = {
  naga: "wgpu_ray_query",
  tint: "chromium_disable_uniformity_analysis",
} as const;

/**
 * The compiler of a device, recognised by the extension that only this compiler knows. A compiler
 * that knows both extensions or neither is `unknown`. The result is kept for each device.
 */
export function compilerOf(device: GPUDevice): Promise<Compiler> {
  let known = compilers.get(device);
  if (!known) compilers.set(device, known = askCompiler(device));
  return known;
}

async function askCompiler(device: GPUDevice): Promise<Compiler> {
  const [naga, tint] = await Promise.all([
    knowsExtension(device, OWN_EXTENSIONS.naga),
    knowsExtension(device, OWN_EXTENSIONS.tint),
  ]);
  if (naga === tint) return "unknown";
  return naga ? "naga" : "tint";
}

/**
 * Whether the compiler knows an extension. It does if it accepts the name, or if its message
 * differs from the one for a made-up name of the same vendor. No particular wording is expected,
 * since the wording changes between versions.
 */
async function knowsExtension(device: GPUDevice, extension: string): Promise<boolean> {
  // Messages underline the name, so a made-up name of another length would change the message.
  const madeUp = extension.replace(/(?<=_).*/, (rest) => "x".repeat(rest.length));
  const [ofReal, ofMadeUp] = await Promise.all(
    [extension, madeUp].map(async (name) =>
      (await complaint(device, `enable ${name};`))?.replaceAll(name, "NAME")
    ),
  );
  // A compiler that accepts every name does not show that it knows this one.
  return ofMadeUp !== undefined && ofReal !== ofMadeUp;
}

/** The compiler's messages on a module, or undefined if it accepts the module. */
async function complaint(device: GPUDevice, code: string): Promise<string | undefined> {
  device.pushErrorScope("validation");
  const module = device.createShaderModule({ code });
  const error = await device.popErrorScope();
  if (error === null) return undefined;
  // By the specification the compiler's messages are not part of the error; Firefox obeys that.
  const info = await module.getCompilationInfo();
  return [error.message, ...info.messages.map(({ message }) => message)].join("\n");
}
