/** Test support: runs a variant as the benchmark does, but on inputs made on the CPU. */
import { openAdapter } from "../../bench/edge/open_adapter.ts";
import { openDevice } from "../../bench/measure/device/adapter.ts";
import type { DeviceLimits, ReadBytes, Variant } from "../../kernels/core/variant.ts";
import type { Params } from "../../kernels/core/problem/constants.ts";
import type { InputSource } from "../../bench/measure/inputs/input_source.ts";
import { MATRIX_FEATURES } from "../../kernels/core/subgroup_matrices.ts";
import { emulated, hasMatrices } from "./emulated_matrices.ts";
import { prepare } from "../../bench/measure/prepared_variant.ts";
import { LARGE_LIMITS, limitsOf } from "../../kernels/core/device_limits.ts";
import type { Problem } from "../../kernels/core/problem/problem.ts";
import { allocate } from "../../kernels/core/run/program.ts";
import { PACKED_DOT } from "../../kernels/core/wgsl/wgsl_compiler.ts";
import { poison, readBytes, write } from "../../kernels/core/run/run.ts";
import type { Inputs } from "../inputs/input_options.ts";

/** A device for tests. Each device leaks 5 MB, so open one per test file. */
export interface TestDevice {
  readonly device: GPUDevice;
  /** The device's own, and those of matrices: without them, matrices are emulated. */
  readonly features: ReadonlySet<string>;
  readonly limits: DeviceLimits;
  /** Errors that no error scope has caught so far. */
  readonly uncaptured: readonly Error[];
}

/** Opens a device with the optional features that the adapter supports. */
export async function openTestDevice(
  wanted: readonly string[] = ["subgroups", "shader-f16", PACKED_DOT],
): Promise<TestDevice> {
  // Mesa's software driver spends most of a test on optimising shaders that run once.
  if (!Deno.env.has("GALLIVM_PERF")) Deno.env.set("GALLIVM_PERF", "nopt");
  const { adapter } = await openAdapter();
  const uncaptured: Error[] = [];
  const { device, features } = await openDevice(adapter, wanted, (error) => uncaptured.push(error));
  // Matrices are emulated with subgroups of any size, but shuffles are not.
  const matrices = features.has("subgroups") ? MATRIX_FEATURES : [];
  const limits: DeviceLimits = {
    ...limitsOf(device),
    subgroupMatrices: LARGE_LIMITS.subgroupMatrices,
    // Tests use the benchmark's hand-over on this device; `testStage` also runs the others.
    handOver: "barrier",
  };
  return { device, features: new Set([...features, ...matrices]), limits, uncaptured };
}

/** Whether a device has the features that a variant requires. */
export function canRun({ features }: TestDevice, variant: Variant): boolean {
  return variant.features.every((feature) => features.has(feature));
}

/**
 * Runs a variant once on `inputs`. All other bytes of its buffers start as poison.
 *
 * @returns The contents of the variant's buffers after the run, inputs included.
 * @throws {Error} for any GPU error, captured or not.
 */
export async function runVariant(
  testDevice: TestDevice,
  variant: Variant,
  p: Problem,
  params: Params,
  inputs: Inputs,
  { unroll = false }: { readonly unroll?: boolean } = {},
): Promise<ReadBytes> {
  const { device, uncaptured } = testDevice;
  const source = madeInputs(testDevice, p, inputs, unroll);
  device.pushErrorScope("validation");
  let scope: Promise<GPUError | null> | undefined;
  let contents: Record<string, Uint8Array>;
  try {
    const able = hasMatrices(device) ? variant : emulated(variant);
    const prepared = await prepare(source, able, params, { hot: true, layers: 1 });
    prepared.run(0);
    contents = await readAll(device, prepared.buffersOf(0));
    prepared.destroy();
  } finally {
    source.destroy();
    scope = device.popErrorScope();
  }
  const error = await scope ?? uncaptured[0];
  if (error) throw new Error(`${variant.name}: GPU error: ${error.message}`);
  return (name, byteOffset, byteLength) => {
    if (!contents[name]) throw new Error(`${variant.name} has no buffer ${name}`);
    return Promise.resolve(contents[name].subarray(byteOffset, byteOffset + byteLength));
  };
}

/** One set of inputs made on the CPU. Bytes of a buffer that its input does not fill are poison. */
function madeInputs(
  { device, limits }: TestDevice,
  problem: Problem,
  inputs: Inputs,
  unroll: boolean,
): InputSource {
  const made: GPUBuffer[] = [];
  return {
    device,
    problem,
    settings: { limits, seed: 0, unroll },
    get(name, spec) {
      if (!inputs[name]) throw new Error(`no input was made for ${name}`);
      const { [name]: buffer } = allocate(device, { [name]: spec });
      made.push(buffer);
      poison(device, buffer, spec.zeros);
      write(device, buffer, inputs[name]);
      return Promise.resolve(buffer);
    },
    known: () => new Map(),
    destroy() {
      for (const buffer of made) buffer.destroy();
    },
  };
}

/** Reads all buffers at the same time, which takes no longer than reading one. */
async function readAll(
  device: GPUDevice,
  buffers: Readonly<Record<string, GPUBuffer>>,
): Promise<Record<string, Uint8Array>> {
  const entries = Object.entries(buffers).map(async ([name, buffer]) =>
    [name, await readBytes(device, buffer, 0, buffer.size)] as const
  );
  return Object.fromEntries(await Promise.all(entries));
}

/** The device, if it bound no more than `bytes`. */
export function binding(device: GPUDevice, bytes: number): GPUDevice {
  const of = <T extends object>(target: T, own: Record<string, unknown>): T =>
    new Proxy(target, {
      get(_, name) {
        if (String(name) in own) return own[String(name)];
        const value = Reflect.get(target, name, target);
        return typeof value === "function" ? value.bind(target) : value;
      },
    });
  return of(device, { limits: of(device.limits, { maxStorageBufferBindingSize: bytes }) });
}
