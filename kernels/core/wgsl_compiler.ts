/**
 * Asks a device about its WGSL compiler by compiling tiny modules, since neither the runtime's name
 * nor the adapter's tells which compiler it is. Web APIs only.
 */
import { type Dialect, FEATURE_EXTENSIONS } from "./wgsl.ts";

/** A WGSL compiler: naga (wgpu: Deno, Firefox), Tint (Dawn: Chromium), or one not recognised. */
export type Compiler = "naga" | "tint" | "unknown";

const dialects = new WeakMap<GPUDevice, Promise<Dialect>>();
const compilers = new WeakMap<GPUDevice, Promise<Compiler>>();

/**
 * The dialect of a device's compiler. A compiler that refuses the `enable` line of a feature that
 * the device has, as naga did for subgroups, takes the feature's functions without the line. Each
 * device is asked once.
 */
export function dialectOf(device: GPUDevice): Promise<Dialect> {
  let known = dialects.get(device);
  if (!known) dialects.set(device, known = askDialect(device));
  return known;
}

async function askDialect(device: GPUDevice): Promise<Dialect> {
  const features = Object.entries(FEATURE_EXTENSIONS);
  const wanted = await Promise.all(features.map(async ([feature, extension]) => {
    // Without the feature every compiler refuses the line, which then says nothing.
    if (!device.features.has(feature as GPUFeatureName)) return true;
    return await complaint(device, `enable ${extension};`) === undefined;
  }));
  return { enables: new Set(features.filter((_, i) => wanted[i]).map(([feature]) => feature)) };
}

/** A WGSL extension of each compiler's own, which no other compiler knows. */
const OWN_EXTENSIONS = {
  naga: "wgpu_ray_query",
  tint: "chromium_disable_uniformity_analysis",
} as const;

/**
 * The compiler behind a device: the one whose own extensions it knows. A compiler that knows those
 * of both or of neither is `unknown`. Each device is asked once.
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
 * Whether the compiler knows an extension: it accepts it, or refuses it for another reason than a
 * made-up one of the same vendor. No wording is expected, since that changes between versions.
 */
async function knowsExtension(device: GPUDevice, extension: string): Promise<boolean> {
  // Names of one length have the same marks under them in a message.
  const madeUp = extension.replace(/(?<=_).*/, (rest) => "x".repeat(rest.length));
  const [ofReal, ofMadeUp] = await Promise.all(
    [extension, madeUp].map(async (name) =>
      (await complaint(device, `enable ${name};`))?.replaceAll(name, "NAME")
    ),
  );
  // A compiler that accepts any name says nothing by accepting this one.
  return ofMadeUp !== undefined && ofReal !== ofMadeUp;
}

/** All that the compiler says against a module, or undefined where it accepts it. */
async function complaint(device: GPUDevice, code: string): Promise<string | undefined> {
  device.pushErrorScope("validation");
  const module = device.createShaderModule({ code });
  const error = await device.popErrorScope();
  if (error === null) return undefined;
  // The specification keeps the compiler's words out of the error; Firefox keeps to that.
  const info = await module.getCompilationInfo();
  return [error.message, ...info.messages.map(({ message }) => message)].join("\n");
}
