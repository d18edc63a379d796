/** Test support: Dawn's null backend, which compiles WGSL with Tint and needs no driver. */
import { create } from "webgpu";
import type { DeviceLimits } from "../../kernels/core/variant.ts";
import { MATRIX_FEATURES } from "../../kernels/core/subgroup_matrices.ts";
import { LARGE_LIMITS, limitsOf } from "../../kernels/core/device_limits.ts";

/** A device that compiles and validates, and computes nothing. */
export interface NullDevice {
  /** Dawn shuts down when this object is collected, so a holder of the device must keep it. */
  readonly gpu: GPU;
  readonly device: GPUDevice;
  /** The device's limits, with the largest sizes of buffers and bindings that a test needs. */
  readonly limits: DeviceLimits;
}

/** Opens a null device with as many storage buffers as Dawn allows. */
export async function openNullDevice(): Promise<NullDevice> {
  const gpu = create(["backend=null", "enable-dawn-features=allow_unsafe_apis"]);
  const adapter = (await gpu.requestAdapter())!;
  const { maxStorageBuffersPerShaderStage } = adapter.limits;
  const device = await adapter.requestDevice({
    requiredFeatures: MATRIX_FEATURES as GPUFeatureName[],
    requiredLimits: { maxStorageBuffersPerShaderStage },
  });
  const limits: DeviceLimits = {
    ...limitsOf(device),
    maxStorageBufferBindingSize: 2 ** 31 - 4,
    maxBufferSize: 2 ** 34,
    subgroupMinSize: 32,
    // It has the feature but no product, so it makes modules of matrices and no pipelines.
    subgroupMatrices: LARGE_LIMITS.subgroupMatrices,
  };
  return { gpu, device, limits };
}
