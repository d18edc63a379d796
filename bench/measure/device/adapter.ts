/** An opened adapter, the facts about it that a result needs, and its device. */
import { requestDecoderDevice } from "../../../kernels/decoder/request_device.ts";
import { languageFeaturesOf } from "../../../kernels/core/wgsl/wgsl_compiler.ts";
import { DeviceLostError } from "./device_loss.ts";
import { SystemError } from "../../base/system_error.ts";
import type { LimitChoice } from "./gpu_limits.ts";

/** Facts about the machine that a result was measured on. */
export interface AdapterFacts {
  /** Runtime and version, such as `deno 2.9.6`. */
  readonly runtime: string;
  /** Name of the adapter. */
  readonly adapter: string;
  /** Vendor name, or the PCI id of an unknown vendor. */
  readonly vendor: string;
  /** Driver name and version, or `unknown`. */
  readonly driver: string;
  /** Graphics API under WebGPU: `vulkan`, `metal`, `dx12`, or the one that the user asked for. */
  readonly backend: string;
  /** Whether a CPU stands in for a GPU. */
  readonly software: boolean;
  /** Compiler of WGSL: `naga` of Deno's WebGPU, `tint` of Dawn. */
  readonly compiler: string;
  /** Toggles of Dawn that were turned on, separated by spaces. */
  readonly toggles: string;
  /** Whose limits the device has. */
  readonly limits: LimitChoice;
}

/** An adapter together with the facts about it. */
export interface OpenedAdapter {
  readonly adapter: GPUAdapter;
  readonly info: AdapterFacts;
  /** The graphics API that runs the shaders: Metal if Vulkan calls are translated to it. */
  readonly shaderApi: string;
}

/**
 * A device and those of the wanted optional features that it supports. Features of the language
 * count among them.
 */
export interface FeaturedDevice {
  readonly device: GPUDevice;
  readonly features: Set<string>;
}

/**
 * Opens a device with the adapter's own compute limits and those of the `wanted` optional features
 * that it grants. Errors that no scope catches go to `onError`. By default they end the program or
 * fail the test that caused them, since WebGPU itself would stay silent.
 */
export async function openDevice(
  adapter: GPUAdapter,
  wanted: readonly string[],
  onError: (error: Error) => void = reportError,
): Promise<FeaturedDevice> {
  const device = await requestDecoderDevice(adapter, wanted).catch((error) => {
    throw new SystemError(`The adapter gives no device: ${error.message}.`, { cause: error });
  });
  device.addEventListener("uncapturederror", (event) => {
    const { error } = event as GPUUncapturedErrorEvent;
    onError(new Error(`Uncaptured GPU error: ${error.message}`, { cause: error }));
  });
  device.lost.then(({ reason, message }) => {
    if (reason !== "destroyed") onError(new DeviceLostError(message));
  });
  const known = await languageFeaturesOf(device);
  const granted = wanted.filter((name) =>
    known.has(name) || device.features.has(name as GPUFeatureName)
  );
  return { device, features: new Set(granted) };
}

/** The first lines of every run: the adapter and, if it is software, a warning. */
export function describeAdapter(facts: AdapterFacts): string {
  const kind = facts.software ? "software" : "hardware";
  const line = `Adapter: ${facts.adapter} (${facts.vendor}, ${kind}), driver ${facts.driver}, ` +
    `backend ${facts.backend}, ${facts.runtime}` +
    (facts.toggles === "" ? "" : `, toggles ${facts.toggles}`) +
    (facts.limits === "adapter" ? "" : `, limits of ${facts.limits}`);
  return facts.software
    ? `${line}\nWARNING: timings on a software adapter say nothing about a GPU.`
    : line;
}

/** Requests that may get different adapters, the usual one first. */
export const REQUESTS = {
  "high-performance": { powerPreference: "high-performance" },
  "low-power": { powerPreference: "low-power" },
  fallback: { forceFallbackAdapter: true },
} as const satisfies Record<string, GPURequestAdapterOptions>;

/** A name in {@linkcode REQUESTS}. */
export type AdapterRequest = keyof typeof REQUESTS;

/** Which adapter to ask for. */
export interface AdapterChoice {
  /**
   * As in {@linkcode AdapterFacts}. It has no effect after this process's first adapter request.
   */
  readonly backend: string;
  readonly request: AdapterRequest;
}
