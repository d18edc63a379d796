/** What to request of an adapter, so that a decoder can use all that it has. Web APIs only. */

/** The optional features that some kernel uses. */
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
 * What to request of an adapter for a decoder:
 *
 * - the `wanted` features that the adapter lists. With `subgroups` a step runs on faster kernels.
 * - the adapter's own limits of buffers and workgroups. Under the defaults, a binding holds 128 MiB
 *   (one layer's keys of 65,536 tokens and 8 KV heads of 128 in f16), and kernels with more buffers
 *   or workgroup memory than every device has are left out.
 *
 * An engine may add its own features and limits to the result. Some runtimes (Deno, for one) grant
 * subgroups without listing them, which only {@linkcode requestDecoderDevice} finds out.
 */
export function decoderDeviceDescriptor(
  adapter: GPUAdapter,
  wanted: readonly string[] = DECODER_FEATURES,
): GPUDeviceDescriptor & { requiredFeatures: GPUFeatureName[] } {
  const requiredFeatures = (wanted as readonly GPUFeatureName[])
    .filter((name) => adapter.features.has(name));
  // The limits object has its values on its prototype: passed as it is, it would ask for nothing.
  const requiredLimits = Object.fromEntries(
    DECODER_LIMITS.map((name) => [name, adapter.limits[name]]),
  );
  return { requiredFeatures, requiredLimits };
}

/**
 * Opens a device with what {@linkcode decoderDeviceDescriptor} says. Subgroups are requested even of
 * an adapter that does not list them; where that is refused, the device is opened without them.
 *
 * @param wanted Features to open the device with where the adapter has them.
 * @throws whatever `requestDevice` rejects with, where the adapter opens no device at all.
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
    // A refused request leaves the adapter as it was.
    return await adapter.requestDevice(descriptor);
  }
}
