/** Smaller limits than an adapter's own, as a web page gets them. */

/**
 * Limits that Chromium grants a page on a desktop GPU. It rounds an adapter's limits down to one of
 * few tiers (ApplyLimitTiers in Dawn's Limits.cpp), so that they do not tell users apart. These are
 * the tiers of most adapters; some get 48 KiB of workgroup memory and bindings of 4 GiB.
 */
export const CHROMIUM_LIMITS = {
  maxStorageBuffersPerShaderStage: 10,
  maxComputeWorkgroupStorageSize: 32768,
  maxComputeInvocationsPerWorkgroup: 1024,
  maxComputeWorkgroupSizeX: 1024,
  maxComputeWorkgroupsPerDimension: 65535,
  maxStorageBufferBindingSize: 2 ** 31 - 4,
  maxBufferSize: 2 ** 31,
} as const satisfies Partial<Record<keyof GPUSupportedLimits, number>>;

/** Whose limits a device has: the adapter's own, or those of a page in Chromium. */
export const LIMIT_CHOICES = ["adapter", "chromium"] as const;

/** One of {@linkcode LIMIT_CHOICES}. */
export type LimitChoice = typeof LIMIT_CHOICES[number];

/** The adapter, with no limit above those of the choice. */
export function withLimits(adapter: GPUAdapter, choice: LimitChoice): GPUAdapter {
  if (choice === "adapter") return adapter;
  const bounds: Readonly<Record<PropertyKey, number>> = CHROMIUM_LIMITS;
  const limits = new Proxy(adapter.limits, {
    get(own, name) {
      // The adapter's own object is the receiver, since the getters lie on its prototype.
      const limit = Reflect.get(own, name, own);
      return Object.hasOwn(bounds, name) ? Math.min(bounds[name], limit) : limit;
    },
  });
  const lowered = {
    features: adapter.features,
    info: adapter.info,
    limits,
    requestDevice: (descriptor?: GPUDeviceDescriptor) => adapter.requestDevice(descriptor),
  };
  return lowered as GPUAdapter;
}
