/** An opened adapter, the facts about it that a result needs, and its device. Web APIs only. */
import { requestDecoderDevice } from "../../../kernels/decoder/request_device.ts";
import { DeviceLostError } from "./device_loss.ts";
import { SystemError } from "../../base/system_error.ts";

/** What a result says about the machine that it was measured on. */
export interface AdapterFacts {
  /** Runtime and version, such as `deno 2.9.6`. */
  readonly runtime: string;
  /** The adapter's own name. */
  readonly adapter: string;
  /** Vendor name, or the PCI id where it is not a known one. */
  readonly vendor: string;
  /** Driver name and version, or `unknown`. */
  readonly driver: string;
  /** Graphics API under WebGPU: `vulkan`, `metal`, `dx12`, or what the user asked for. */
  readonly backend: string;
  /** True where a CPU stands in for a GPU. */
  readonly software: boolean;
}

/** An adapter together with the facts about it. */
export interface OpenedAdapter {
  readonly adapter: GPUAdapter;
  readonly info: AdapterFacts;
  /** The graphics API that runs the shaders: Metal where Vulkan is translated to it. */
  readonly shaderApi: string;
}

/** A device and those of the wanted optional features that it has. */
export interface HostDevice {
  readonly device: GPUDevice;
  readonly features: Set<string>;
}

/**
 * Opens a device with the adapter's own compute limits and those of the `wanted` optional features
 * that it grants. Errors that no scope catches go to `onError`; by default they end the program
 * (and fail the test) that caused them, since WebGPU itself would stay silent.
 */
export async function openDevice(
  adapter: GPUAdapter,
  wanted: readonly string[],
  onError: (error: Error) => void = reportError,
): Promise<HostDevice> {
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
  const granted = wanted.filter((name) => device.features.has(name as GPUFeatureName));
  return { device, features: new Set(granted) };
}

/** The lines that open every run: what it runs on and, on a CPU, what that means. */
export function describeAdapter(facts: AdapterFacts): string {
  const kind = facts.software ? "software" : "hardware";
  const line = `Adapter: ${facts.adapter} (${facts.vendor}, ${kind}), driver ${facts.driver}, ` +
    `backend ${facts.backend}, ${facts.runtime}`;
  return facts.software
    ? `${line}\nWARNING: timings on a software adapter say nothing about a GPU.`
    : line;
}

/** The kinds of request that may get different adapters, the usual one first. */
export const REQUESTS = {
  "high-performance": { powerPreference: "high-performance" },
  "low-power": { powerPreference: "low-power" },
  fallback: { forceFallbackAdapter: true },
} as const satisfies Record<string, GPURequestAdapterOptions>;

/** A kind of request. */
export type AdapterRequest = keyof typeof REQUESTS;

/** Which adapter to ask for. */
export interface AdapterChoice {
  /** As in {@linkcode AdapterFacts}; counts only before this process has asked for an adapter. */
  readonly backend: string;
  readonly request: AdapterRequest;
}
