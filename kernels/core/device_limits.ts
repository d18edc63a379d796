/** The limits that bound a plan: those of a device, and two fixed sets. */
import type { DeviceLimits } from "./variant.ts";

/** The limits that every device supports: the defaults of the WebGPU specification. */
export const DEFAULT_LIMITS: DeviceLimits = {
  maxStorageBufferBindingSize: 2 ** 27,
  maxBufferSize: 2 ** 28,
  maxComputeWorkgroupStorageSize: 2 ** 14,
  maxComputeInvocationsPerWorkgroup: 256,
  maxComputeWorkgroupsPerDimension: 65535,
  maxStorageBuffersPerShaderStage: 8,
  maxUniformBufferBindingSize: 2 ** 16,
};

/** The limits of an H100 through WebGPU, which allow nearly everything. */
export const LARGE_LIMITS: DeviceLimits = {
  maxStorageBufferBindingSize: 2 ** 31 - 1,
  maxBufferSize: 2 ** 36,
  maxComputeWorkgroupStorageSize: 49152,
  maxComputeInvocationsPerWorkgroup: 1024,
  maxComputeWorkgroupsPerDimension: 65535,
  maxStorageBuffersPerShaderStage: 16,
  maxUniformBufferBindingSize: 2 ** 16,
  subgroupMinSize: 32,
  subgroupMatrices: [
    { componentType: "f16", resultComponentType: "f32", M: 16, N: 16, K: 16 },
  ],
  handOver: "barrier",
};

/**
 * The limits of a device, and its smallest subgroup size if it has subgroups and reports the size.
 *
 * A device has the limits that it was requested with. These are WebGPU's low defaults unless the
 * request asks for the adapter's own limits, as {@linkcode requestDecoderDevice} does.
 */
export function limitsOf(device: GPUDevice): DeviceLimits {
  const { limits } = device;
  // Browsers from before 2025 have no adapterInfo.
  const info: Partial<GPUAdapterInfo> | undefined = device.adapterInfo;
  const subgroupMinSize = device.features.has("subgroups") ? info?.subgroupMinSize : undefined;
  return {
    maxStorageBufferBindingSize: limits.maxStorageBufferBindingSize,
    maxBufferSize: limits.maxBufferSize,
    maxComputeWorkgroupStorageSize: limits.maxComputeWorkgroupStorageSize,
    // All workgroups are one-dimensional, so the smaller of the two limits applies.
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
