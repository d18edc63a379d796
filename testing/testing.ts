/** Test support: runs a variant on made-up inputs with everything else poisoned. */
import { openAdapter } from "../bench/edge/open_adapter.ts";
import { openDevice } from "../bench/measure/device/adapter.ts";
import type { DeviceLimits, Params, Variant } from "../kernels/core/variant.ts";
import type { ReadBytes } from "../kernels/verify/verify.ts";
import { limitsOf } from "../kernels/core/device_limits.ts";
import type { Problem } from "../kernels/core/problem.ts";
import {
  allocate,
  bindProgram,
  checkFits,
  compilePlan,
  recordProgram,
} from "../kernels/core/program.ts";
import type { Inputs } from "./testing_inputs.ts";

export { type InputOptions, type Inputs, makeInputs } from "./testing_inputs.ts";

/** A device to test on. One costs 5 MB that never come back: open one per test file. */
export interface TestDevice {
  readonly device: GPUDevice;
  readonly features: ReadonlySet<string>;
  readonly limits: DeviceLimits;
  /** Errors that no scope has caught so far. */
  readonly uncaptured: readonly Error[];
}

/** Opens a device with those of the optional features that it has. */
export async function openTestDevice(
  wanted: readonly string[] = ["subgroups", "shader-f16"],
): Promise<TestDevice> {
  // Mesa's software driver spends most of a test on optimising shaders that run once.
  if (!Deno.env.has("GALLIVM_PERF")) Deno.env.set("GALLIVM_PERF", "nopt");
  const { adapter } = await openAdapter();
  const uncaptured: Error[] = [];
  const { device, features } = await openDevice(adapter, wanted, (error) => uncaptured.push(error));
  // Tests run the hand-over that the benchmark uses here; the suite runs the others too.
  const limits: DeviceLimits = { ...limitsOf(device), handOver: "barrier" };
  return { device, features, limits, uncaptured };
}

/** Whether a device has what a variant cannot do without. */
export function canRun({ features }: TestDevice, variant: Variant): boolean {
  return variant.features.every((feature) => features.has(feature));
}

/** Byte of poisoned memory: as f32 it is NaN, as an index or a count far too large. */
export const POISON = 0xff;

/**
 * Runs a variant once over `inputs`; all other buffers start as poison.
 *
 * @returns what the variant left in its buffers, inputs included.
 * @throws {Error} for any GPU error, captured or not.
 */
export async function runVariant(
  { device, limits, uncaptured }: TestDevice,
  variant: Variant,
  p: Problem,
  params: Params,
  inputs: Inputs,
  { unroll = false }: { readonly unroll?: boolean } = {},
): Promise<ReadBytes> {
  const plan = variant.plan(p, params);
  checkFits(plan, limits);
  const program = await compilePlan(device, plan, { unroll });
  device.pushErrorScope("validation");
  const buffers = allocate(device, plan.buffers);
  for (const [name, buffer] of Object.entries(buffers)) {
    const bytes = new Uint8Array(buffer.size).fill(POISON);
    const { zeros } = plan.buffers[name];
    if (zeros) bytes.fill(0, zeros.offset, zeros.offset + zeros.bytes);
    if (inputs[name]) bytes.set(bytesOf(inputs[name]));
    else if (plan.buffers[name].role === "input") throw new Error(`no input was made for ${name}`);
    device.queue.writeBuffer(buffer, 0, bytes);
  }
  const encoder = device.createCommandEncoder();
  const pass = encoder.beginComputePass();
  recordProgram(pass, bindProgram(device, program, buffers));
  pass.end();
  device.queue.submit([encoder.finish()]);
  const scope = device.popErrorScope();
  const contents = await readAll(device, buffers);
  for (const buffer of Object.values(buffers)) buffer.destroy();
  const error = await scope ?? uncaptured[0];
  if (error) throw new Error(`${variant.name}: GPU error: ${error.message}`);
  return (name, byteOffset, byteLength) => {
    if (!contents[name]) throw new Error(`${variant.name} has no buffer ${name}`);
    return Promise.resolve(contents[name].subarray(byteOffset, byteOffset + byteLength));
  };
}

function bytesOf(view: ArrayBufferView<ArrayBuffer>): Uint8Array<ArrayBuffer> {
  return new Uint8Array(view.buffer, view.byteOffset, view.byteLength);
}

/** Copies all buffers back in one go. */
async function readAll(
  device: GPUDevice,
  buffers: Readonly<Record<string, GPUBuffer>>,
): Promise<Record<string, Uint8Array<ArrayBuffer>>> {
  const size = Object.values(buffers).reduce((sum, buffer) => sum + buffer.size, 0);
  const staging = device.createBuffer({ size, usage: 0x1 | 0x8 }); // MAP_READ | COPY_DST
  const encoder = device.createCommandEncoder();
  let at = 0;
  for (const buffer of Object.values(buffers)) {
    encoder.copyBufferToBuffer(buffer, 0, staging, at, buffer.size);
    at += buffer.size;
  }
  device.queue.submit([encoder.finish()]);
  await staging.mapAsync(0x1);
  const bytes = new Uint8Array(staging.getMappedRange().slice(0));
  staging.destroy();
  at = 0;
  return Object.fromEntries(
    Object.entries(buffers).map(([name, { size }]) => [name, bytes.subarray(at, at += size)]),
  );
}
