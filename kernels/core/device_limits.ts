/** What bounds a plan: read off a device, or promised by a kind of devices. */
import type { DeviceLimits } from "./variant.ts";

/** What every device promises: the defaults of the WebGPU specification. */
export const DEFAULT_LIMITS: DeviceLimits = {
  maxStorageBufferBindingSize: 2 ** 27,
  maxBufferSize: 2 ** 28,
  maxComputeWorkgroupStorageSize: 2 ** 14,
  maxComputeInvocationsPerWorkgroup: 256,
  maxComputeWorkgroupsPerDimension: 65535,
  maxStorageBuffersPerShaderStage: 8,
  maxUniformBufferBindingSize: 2 ** 16,
};

/** A device that allows nearly everything: an H100 through WebGPU. */
export const LARGE_LIMITS: DeviceLimits = {
  maxStorageBufferBindingSize: 2 ** 31 - 1,
  maxBufferSize: 2 ** 36,
  maxComputeWorkgroupStorageSize: 49152,
  maxComputeInvocationsPerWorkgroup: 1024,
  maxComputeWorkgroupsPerDimension: 65535,
  maxStorageBuffersPerShaderStage: 16,
  maxUniformBufferBindingSize: 2 ** 16,
  subgroupMinSize: 32,
  handOver: "barrier",
};

/**
 * The limits of a device, and its smallest subgroup size where it has subgroups and tells.
 *
 * A device has the limits that it was requested with: WebGPU's low defaults unless the adapter's
 * own were asked for, as {@linkcode requestDecoderDevice} does.
 */
export function limitsOf(device: GPUDevice): DeviceLimits {
  const { limits } = device;
  // Younger than WebGPU itself: browsers of before 2025 do not have it.
  const info: Partial<GPUAdapterInfo> | undefined = device.adapterInfo;
  const subgroupMinSize = device.features.has("subgroups") ? info?.subgroupMinSize : undefined;
  return {
    maxStorageBufferBindingSize: limits.maxStorageBufferBindingSize,
    maxBufferSize: limits.maxBufferSize,
    maxComputeWorkgroupStorageSize: limits.maxComputeWorkgroupStorageSize,
    // All workgroups are rows of threads: the narrower limit holds.
    maxComputeInvocationsPerWorkgroup: Math.min(
      limits.maxComputeInvocationsPerWorkgroup,
      limits.maxComputeWorkgroupSizeX,
    ),
    maxComputeWorkgroupsPerDimension: limits.maxComputeWorkgroupsPerDimension,
    maxStorageBuffersPerShaderStage: limits.maxStorageBuffersPerShaderStage,
    maxUniformBufferBindingSize: limits.maxUniformBufferBindingSize,
    ...(subgroupMinSize ? { subgroupMinSize } : {}),
  };
}
