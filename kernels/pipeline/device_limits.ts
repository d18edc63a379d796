/** Reads off a device what bounds a plan. */
import type { DeviceLimits } from "../contender.ts";

/**
 * The limits of a device, and its smallest subgroup size where it has subgroups and tells.
 *
 * A device has the limits that it was requested with: WebGPU's low defaults unless the adapter's
 * own were asked for (`requiredLimits` of `requestDevice`).
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
    ...(subgroupMinSize ? { subgroupMinSize } : {}),
  };
}
