/**
 * Finds the adapter and reads the facts about it that results record. Deno does not report the
 * backend and the driver, so they come from the environment and the system.
 * @module
 */
import {
  type AdapterChoice,
  type AdapterFacts,
  type OpenedAdapter,
  REQUESTS,
} from "../measure/device/adapter.ts";
import { type GpuChoice, WGPU } from "../measure/device/gpu_choice.ts";
import { withLimits } from "../measure/device/gpu_limits.ts";
import { checkToggles, loadDawn } from "./dawn.ts";

/** The machine has no WebGPU adapter. The message is written for the user. */
export class NoAdapterError extends Error {
  /** The message names the `backend` that was searched and how to get a driver. */
  constructor(readonly backend: string, { gpu }: GpuChoice = WGPU) {
    super(
      gpu === "dawn"
        ? `Dawn found no adapter on the ${backend} backend; Mesa before 25 does not serve it, and ` +
          `on Linux VK_DRIVER_FILES may name SwiftShader's driver, which comes with Chromium.`
        : `No WebGPU adapter was found on the ${backend} backend; ` +
          `"npx --yes deno@2.9.6 task quickstart" installs a driver or prints the command that does.`,
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

/** Options of {@linkcode openAdapter}. */
export interface OpenOptions extends Partial<AdapterChoice> {
  /** The implementation of WebGPU (default: Deno's own). */
  readonly gpu?: GpuChoice;
  /** Name of the driver, used if the system does not report it. */
  readonly driver?: string;
}

/**
 * Opens the fastest adapter, or the one that `backend` and `request` get.
 *
 * @throws {NoAdapterError} if there is none.
 */
export async function openAdapter(options: OpenOptions = {}): Promise<OpenedAdapter> {
  const { gpu: choice = WGPU } = options;
  if (options.backend !== undefined) Deno.env.set(BACKEND_VARIABLE, options.backend);
  quietMesa();
  const { gpu, backend, ...facts } = await implementation(choice);
  const request = REQUESTS[options.request ?? "high-performance"];
  const adapter = await gpu.requestAdapter(request);
  if (adapter === null) throw new NoAdapterError(backend, choice);
  checkToggles(adapter, choice);
  const { description, device, vendor, isFallbackAdapter } = adapter.info;
  // Dawn describes the driver, which several GPUs of one machine or of two may share.
  const names = choice.gpu === "dawn" ? [device, description] : [description, device];
  const name = names.find((text) => text !== "") ?? "unnamed adapter";
  const vendorName = VENDOR_NAMES[vendor] ?? (vendor || "unknown");
  return {
    adapter: withLimits(adapter, choice.limits),
    // Vulkan on a Mac is translated to Metal.
    shaderApi: Deno.build.os === "darwin" ? "metal" : backend,
    info: {
      ...facts,
      adapter: name,
      vendor: vendorName,
      driver: readDriver(name, vendorName) ?? options.driver ?? "unknown",
      backend,
      software: isFallbackAdapter,
      toggles: choice.toggles.join(" "),
      limits: choice.limits,
    },
  };
}

/** What an implementation of WebGPU tells about itself. */
interface Implementation extends Pick<AdapterFacts, "runtime" | "compiler" | "backend"> {
  readonly gpu: GPU;
}

async function implementation(choice: GpuChoice): Promise<Implementation> {
  const deno = `deno ${Deno.version.deno}`;
  if (choice.gpu === "wgpu") {
    return { gpu: navigator.gpu, runtime: deno, compiler: "naga", backend: chooseBackend() };
  }
  const { gpu, version, backend } = await loadDawn(choice);
  return { gpu, runtime: `dawn of webgpu ${version}, ${deno}`, compiler: "tint", backend };
}

/** Whether the permissions are granted: `deno bench` and `deno test` may run without any. */
function granted(...names: ("env" | "read" | "run")[]): boolean {
  return names.every((name) => Deno.permissions.querySync({ name }).state === "granted");
}

const BACKEND_VARIABLE = "DENO_WEBGPU_BACKEND";

/**
 * The backend that the user's environment variable names, or else the backends that this system may
 * have, the usual one first. Every Windows with WebGPU has dx12.
 */
export function backendsHere(): string[] {
  const chosen = Deno.env.get(BACKEND_VARIABLE);
  if (chosen) return [chosen];
  const others: Record<string, string[]> = { darwin: ["metal"], windows: ["dx12", "vulkan"] };
  return others[Deno.build.os] ?? ["vulkan", "gl"];
}

/** Sets one backend, because an adapter does not report the backend that it came from. */
function chooseBackend(): string {
  if (!granted("env")) return "unknown";
  // Only one: Deno reads the variable once per process.
  const [backend] = backendsHere();
  Deno.env.set(BACKEND_VARIABLE, backend);
  return backend;
}

/** Sets XDG_RUNTIME_DIR: Mesa complains on stderr at each start if it does not name a folder. */
function quietMesa(): void {
  if (Deno.build.os !== "linux" || !granted("env", "read")) return;
  try {
    if (Deno.statSync(Deno.env.get("XDG_RUNTIME_DIR") ?? "").isDirectory) return;
  } catch {
    // Unset or stale: replaced below.
  }
  Deno.env.set("XDG_RUNTIME_DIR", "/tmp");
}

/** Driver name and version as the system reports them, or null if it does not. */
function readDriver(adapterName: string, vendor: string): string | null {
  if (!granted("env", "read", "run")) return null;
  if (Deno.build.os === "darwin") {
    // Metal's drivers are part of the system and have its version.
    return prefixed("macOS", firstLine("sw_vers", "-productVersion"));
  }
  if (/llvmpipe|RADV|NVK|Turnip|V3D|Mesa/.test(adapterName)) {
    // A driver chosen by hand may differ from the one that the package manager installed.
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
