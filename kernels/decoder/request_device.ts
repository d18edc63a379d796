/** Requests a device with the features and limits of the adapter that speed up a decoder. */

/** The optional features that the kernels of a decoder use. */
export const DECODER_FEATURES: readonly string[] = ["subgroups"];

/** The limits that bound the kernels. */
const DECODER_LIMITS = [
  "maxBufferSize",
  "maxStorageBufferBindingSize",
  "maxStorageBuffersPerShaderStage",
  "maxComputeInvocationsPerWorkgroup",
  "maxComputeWorkgroupSizeX",
  "maxComputeWorkgroupStorageSize",
  "maxComputeWorkgroupsPerDimension",
] as const satisfies readonly (keyof GPUSupportedLimits)[];

/**
 * The features and limits to request from an adapter for a decoder:
 *
 * - the `wanted` features that the adapter lists. With `subgroups` a step runs on faster kernels.
 * - the adapter's own limits of buffers and workgroups. With the default limits, a binding holds 128
 *   MiB (one layer's keys of 65,536 tokens and 8 KV heads of 128 dimensions in f16), and a decoder
 *   cannot use the kernels that need more buffers or workgroup memory.
 *
 * An engine may add its own features and limits to the result. Some runtimes, such as Deno, grant
 * subgroups without listing them. Only {@linkcode requestDecoderDevice} finds these.
 */
export function decoderDeviceDescriptor(
  adapter: GPUAdapter,
  wanted: readonly string[] = DECODER_FEATURES,
): GPUDeviceDescriptor & { requiredFeatures: GPUFeatureName[] } {
  const requiredFeatures = (wanted as readonly GPUFeatureName[])
    .filter((name) => adapter.features.has(name));
  // The values of `adapter.limits` lie on its prototype, so a request with it would have no limits.
  const requiredLimits = Object.fromEntries(
    DECODER_LIMITS.map((name) => [name, adapter.limits[name]]),
  );
  return { requiredFeatures, requiredLimits };
}

/**
 * Opens a device with the features and limits of {@linkcode decoderDeviceDescriptor}. Subgroups are
 * requested even if the adapter does not list them. If it refuses, the device has no subgroups.
 *
 * @param wanted Features to request if the adapter has them, in place of
 * {@linkcode DECODER_FEATURES}: name `subgroups` too for the fast kernels.
 * @throws the error of `requestDevice`, if the adapter opens no device at all.
 */
export async function requestDecoderDevice(
  adapter: GPUAdapter,
  wanted: readonly string[] = DECODER_FEATURES,
): Promise<GPUDevice> {
  const descriptor = decoderDeviceDescriptor(adapter, wanted);
  const hidden: GPUFeatureName = "subgroups";
  if (!wanted.includes(hidden) || adapter.features.has(hidden)) {
    return await adapter.requestDevice(descriptor);
  }
  try {
    const requiredFeatures = [...descriptor.requiredFeatures, hidden];
    return await adapter.requestDevice({ ...descriptor, requiredFeatures });
  } catch {
    // A refused request does not use up the adapter.
    return await adapter.requestDevice(descriptor);
  }
}
