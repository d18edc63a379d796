/**
 * Dawn, Chrome's WebGPU, as a second implementation beside Deno's own: another compiler (Tint) for
 * the same WGSL. It comes from npm with its native library, which loads on first use.
 * @module
 */
import { UsageError } from "../base/usage_error.ts";
import type { GpuChoice } from "../measure/device/gpu_choice.ts";

/** Dawn's name of the graphics API on each system. */
const BACKENDS: Readonly<Record<string, string>> = { darwin: "metal", windows: "d3d12" };

/**
 * Deno downloads what it finds in imports of literals, and a run without Dawn shall not wait for it.
 */
const PACKAGE: string = "webgpu";

/** Dawn shuts down when its object is collected, so it is kept as long as the program runs. */
const kept: GPU[] = [];

/** Dawn's WebGPU. */
export interface Dawn {
  readonly gpu: GPU;
  /** The version of the npm package. */
  readonly version: string;
  readonly backend: string;
}

/**
 * Loads Dawn with the toggles of the choice. Timestamps are not rounded.
 *
 * @throws {UsageError} in one sentence, if its native library does not load here.
 */
export async function loadDawn({ toggles }: GpuChoice): Promise<Dawn> {
  const backend = BACKENDS[Deno.build.os] ?? "vulkan";
  try {
    const { create }: { create(options: string[]): GPU } = await import(PACKAGE);
    const { default: facts }: { default: { version: string } } = await import(
      `${PACKAGE}/package.json`,
      { with: { type: "json" } }
    );
    const options = [`backend=${backend}`, "disable-dawn-features=timestamp_quantization"];
    if (toggles.length > 0) options.push(`enable-dawn-features=${toggles.join()}`);
    const gpu = create(options);
    kept.push(gpu);
    return { gpu, version: facts.version, backend };
  } catch (error) {
    const why = error instanceof Error ? error.message.split("\n")[0] : String(error);
    throw new UsageError(`--gpu dawn: Dawn's library does not load here: ${why}`);
  }
}

/**
 * The toggles that visibly had no effect on an adapter.
 *
 * @throws {UsageError} for the first of them.
 */
export function checkToggles(adapter: GPUAdapter, { toggles }: GpuChoice): void {
  const lacksF16 = !adapter.features.has("shader-f16");
  if (toggles.includes("vulkan_enable_f16_on_nvidia") && lacksF16) {
    throw new UsageError(
      "--dawn-toggles vulkan_enable_f16_on_nvidia has no effect: the adapter has no shader-f16.",
    );
  }
}
