/**
 * The Deno edge of the suite: finds the adapter, opens the device and reads the facts about both
 * that a result needs. Everything beneath it uses web APIs only.
 * @module
 */
import { requestDecoderDevice } from "../kernels/decoder/request_device.ts";
import { DeviceLostError } from "./device_loss.ts";
import { SystemError } from "./system_error.ts";

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
export interface HostAdapter {
  readonly adapter: GPUAdapter;
  readonly info: AdapterFacts;
}

/** A device and those of the wanted optional features that it has. */
export interface HostDevice {
  readonly device: GPUDevice;
  readonly features: Set<string>;
}

/** Thrown where the machine has no WebGPU adapter; its message is fit to be shown as it stands. */
export class NoAdapterError extends Error {
  /** Names the `backend` that was searched and the command that installs a driver. */
  constructor(readonly backend: string) {
    super(
      `No WebGPU adapter was found on the ${backend} backend; ` +
        `"npx --yes deno@2.9.6 task quickstart" installs a driver or says how to.`,
    );
    this.name = "NoAdapterError";
  }
}

// Deno reports the vendor as a decimal PCI (or Khronos) id.
const VENDOR_NAMES: Record<string, string> = {
  "4098": "amd",
  "4203": "apple",
  "4318": "nvidia",
  "5045": "arm",
  "5140": "microsoft",
  "6880": "google",
  "20803": "qualcomm",
  "32902": "intel",
  "65541": "mesa",
};

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

/** What {@linkcode openAdapter} takes. */
export interface OpenOptions extends Partial<AdapterChoice> {
  /** Names the driver where the system does not say. */
  readonly driver?: string;
}

/**
 * Opens the fastest adapter, or the one that `backend` and `request` get.
 * Throws {@link NoAdapterError} where there is none.
 */
export async function openAdapter(options: OpenOptions = {}): Promise<HostAdapter> {
  if (options.backend !== undefined) Deno.env.set(BACKEND_VARIABLE, options.backend);
  const backend = chooseBackend();
  quietMesa();
  const request = REQUESTS[options.request ?? "high-performance"];
  const adapter = await navigator.gpu.requestAdapter(request);
  if (adapter === null) throw new NoAdapterError(backend);
  const { description, device, vendor, isFallbackAdapter } = adapter.info;
  const name = description || device || "unnamed adapter";
  const vendorName = VENDOR_NAMES[vendor] ?? (vendor || "unknown");
  return {
    adapter,
    info: {
      runtime: `deno ${Deno.version.deno}`,
      adapter: name,
      vendor: vendorName,
      driver: readDriver(name, vendorName) ?? options.driver ?? "unknown",
      backend,
      software: isFallbackAdapter,
    },
  };
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

/** What may be used without asking: `deno bench` and `deno test` may run without any permission. */
function granted(...names: ("env" | "read" | "run")[]): boolean {
  return names.every((name) => Deno.permissions.querySync({ name }).state === "granted");
}

const BACKEND_VARIABLE = "DENO_WEBGPU_BACKEND";

/**
 * Backends that this system may have, the usual one first; the one that the user's variable names,
 * where it does. Every Windows with WebGPU has dx12.
 */
export function backendsHere(): string[] {
  const chosen = Deno.env.get(BACKEND_VARIABLE);
  if (chosen) return [chosen];
  const others: Record<string, string[]> = { darwin: ["metal"], windows: ["dx12", "vulkan"] };
  return others[Deno.build.os] ?? ["vulkan", "gl"];
}

/** Fixes the backend, since the adapter does not tell which one it came from. */
function chooseBackend(): string {
  if (!granted("env")) return "unknown";
  // One, as Deno reads the variable once per process.
  const [backend] = backendsHere();
  Deno.env.set(BACKEND_VARIABLE, backend);
  return backend;
}

/** Mesa complains on stderr at each start where this variable names no folder. */
function quietMesa(): void {
  if (Deno.build.os !== "linux" || !granted("env", "read")) return;
  try {
    if (Deno.statSync(Deno.env.get("XDG_RUNTIME_DIR") ?? "").isDirectory) return;
  } catch {
    // Unset or stale: replaced below.
  }
  Deno.env.set("XDG_RUNTIME_DIR", "/tmp");
}

/** Driver name and version from the system, or null where it does not tell. */
function readDriver(adapterName: string, vendor: string): string | null {
  if (!granted("env", "read", "run")) return null;
  if (Deno.build.os === "darwin") {
    // Metal's drivers come with the system and share its version.
    return prefixed("macOS", firstLine("sw_vers", "-productVersion"));
  }
  if (/llvmpipe|RADV|NVK|Turnip|V3D|Mesa/.test(adapterName)) {
    // A driver that was chosen by hand need not be the one that the package manager knows.
    const byHand = Deno.env.get("VK_DRIVER_FILES") ?? Deno.env.get("VK_ICD_FILENAMES");
    if (byHand !== undefined && !byHand.startsWith("/usr/share/vulkan/")) return null;
    const version = firstLine("dpkg-query", "-W", "-f=${Version}", "mesa-vulkan-drivers") ??
      firstLine("rpm", "-q", "--qf=%{VERSION}", "mesa-vulkan-drivers");
    return prefixed("Mesa", version);
  }
  if (vendor !== "nvidia") return null;
  const version = readText("/sys/module/nvidia/version") ??
    readText("/proc/driver/nvidia/version")?.match(/\d+\.\d+(?:\.\d+)?/)?.[0] ??
    firstLine("nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader");
  return prefixed("NVIDIA", version);
}

function prefixed(name: string, version: string | null): string | null {
  return version === null ? null : `${name} ${version}`;
}

function readText(path: string): string | null {
  try {
    return Deno.readTextFileSync(path).trim() || null;
  } catch {
    return null;
  }
}

function firstLine(program: string, ...args: string[]): string | null {
  try {
    const { success, stdout } = new Deno.Command(program, { args, stderr: "null" }).outputSync();
    return success ? new TextDecoder().decode(stdout).split("\n")[0].trim() || null : null;
  } catch {
    return null;
  }
}
