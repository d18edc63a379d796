/** Opens the adapter of a browser and reads the facts that results record, if they are told. */
import { compilerOf } from "../../kernels/core/wgsl/wgsl_compiler.ts";
import { limitsOf } from "../../kernels/core/device_limits.ts";
import type { DeviceLimits } from "../../kernels/core/variant.ts";
import { requestDecoderDevice } from "../../kernels/decoder/request_device.ts";
import { isSoftwareName } from "../base/software_names.ts";
import { SystemError } from "../base/system_error.ts";
import { type AdapterFacts, type OpenedAdapter, REQUESTS } from "../measure/device/adapter.ts";

/** What a page shows of the device before anything runs. */
export interface DeviceSummary {
  readonly facts: AdapterFacts;
  readonly limits: DeviceLimits;
  /** Names of the adapter's optional features. */
  readonly features: readonly string[];
}

/** Facts that some browsers tell, most of them only if a developer asked for them. */
interface ToldFacts extends Partial<GPUAdapterInfo> {
  readonly driver?: string;
  readonly backend?: string;
}

const BACKENDS: Readonly<Record<string, string>> = { d3d12: "dx12", d3d11: "dx11" };

/** The names that a browser gives itself. */
interface Brand {
  readonly brand: string;
  readonly version: string;
}

interface UserAgentData {
  getHighEntropyValues(
    hints: readonly string[],
  ): Promise<{ fullVersionList?: Brand[]; platform?: string; platformVersion?: string }>;
}

/**
 * Opens the fastest adapter of this browser.
 *
 * @throws {SystemError} in one sentence, if it has no WebGPU or no adapter.
 */
export async function openBrowserAdapter(): Promise<OpenedAdapter> {
  const adapter = await requestAdapter();
  const info: ToldFacts = adapter.info ?? {};
  const told = info.backend?.toLowerCase() ?? "unknown";
  const backend = BACKENDS[told] ?? told;
  const kind = [info.vendor, info.architecture].filter((word) => word).join(" ");
  const name = info.description || info.device || kind || "unnamed adapter";
  return {
    adapter,
    shaderApi: backend,
    info: {
      runtime: await browserName(),
      adapter: name,
      vendor: info.vendor || "unknown",
      driver: info.driver || "unknown",
      backend,
      software: info.isFallbackAdapter || isSoftwareName(name),
      compiler: await compilerName(),
      toggles: "",
      limits: "adapter",
    },
  };
}

/** The device that a run would get. */
export async function describeDevice(): Promise<DeviceSummary> {
  const { adapter, info } = await openBrowserAdapter();
  const features = [...adapter.features].sort();
  const device = await requestDecoderDevice(adapter);
  const limits = limitsOf(device);
  device.destroy();
  return { facts: info, limits, features };
}

async function requestAdapter(): Promise<GPUAdapter> {
  const gpu: GPU | undefined = navigator.gpu;
  if (gpu === undefined) {
    throw new SystemError(
      "This browser has no WebGPU here: a page needs https or localhost, and a browser with " +
        "WebGPU, such as Chrome or Edge from 113, Safari from 26 or Firefox from 141.",
    );
  }
  const adapter = await gpu.requestAdapter(REQUESTS["high-performance"]);
  if (adapter !== null) return adapter;
  throw new SystemError("This browser has WebGPU, but no adapter for it on this machine.");
}

/** An adapter gives one device only, so the compiler is asked through another adapter. */
async function compilerName(): Promise<string> {
  const device = await (await requestAdapter()).requestDevice();
  const compiler = await compilerOf(device);
  device.destroy();
  return compiler === "unknown" ? "" : compiler;
}

/** Browser, version and system, such as `Chromium 156.0.8078.108, Linux`. */
async function browserName(): Promise<string> {
  const data = (navigator as { readonly userAgentData?: UserAgentData }).userAgentData;
  if (data === undefined) return nameInUserAgent(navigator.userAgent);
  const hints = ["fullVersionList", "platform", "platformVersion"];
  const { fullVersionList = [], platform = "", platformVersion = "" } = await data
    .getHighEntropyValues(hints);
  // A made-up brand keeps sites from relying on the list, and Chromium is the base of others.
  const brands = fullVersionList.filter(({ brand }) => !/\bnot\b/i.test(brand));
  const own = brands.find(({ brand }) => brand !== "Chromium") ?? brands[0];
  const browser = own === undefined
    ? nameInUserAgent(navigator.userAgent)
    : `${own.brand} ${own.version}`;
  const system = `${platform} ${platformVersion}`.trim();
  return [browser, system].filter((part) => part !== "").join(", ");
}

/** The browser and the system in a user agent's text, such as `Firefox 141.0, X11; Linux`. */
export function nameInUserAgent(text: string): string {
  const version = /Version\/(\S+).*Safari/.exec(text)?.[1];
  const browser = version !== undefined
    ? `Safari ${version}`
    : /(Firefox|Edg|Chrome)\/\S+/.exec(text)?.[0].replace("/", " ") ?? "unknown browser";
  const system = /\(([^)]*)\)/.exec(text)?.[1].replace(/; rv:[^;]*/, "");
  return system === undefined ? browser : `${browser}, ${system}`;
}
