/** The matrix units of a device, as the experimental WebGPU feature of Dawn offers them. */
import type { DeviceLimits, SubgroupMatrices } from "./variant.ts";

/** The device feature of matrices. */
export const MATRIX_FEATURE = "chromium-experimental-subgroup-matrix";

/** Device features of a kernel that multiplies matrices of f16. */
export const MATRIX_FEATURES: readonly string[] = ["subgroups", "shader-f16", MATRIX_FEATURE];

/** Threads of the subgroups that the kernels of matrices are written for. */
const SUBGROUP = 32;

/**
 * The products that an adapter offers: none if it lacks the features, hides its products or has
 * subgroups of another size. A device of it does not list them.
 */
export function subgroupMatricesOf(adapter: GPUAdapter): readonly SubgroupMatrices[] {
  if (!MATRIX_FEATURES.every((name) => adapter.features.has(name as GPUFeatureName))) return [];
  const info: Partial<GPUAdapterInfo> & {
    readonly subgroupMatrixConfigs?: Iterable<SubgroupMatrices>;
  } = adapter.info;
  // Kernels deal their work to subgroups by number, so the size must be known.
  if (info.subgroupMinSize !== SUBGROUP || info.subgroupMaxSize !== SUBGROUP) return [];
  // The properties of the adapter's own objects are not enumerable.
  return Array.from(
    info.subgroupMatrixConfigs ?? [],
    ({ componentType, resultComponentType, M, N, K }) => (
      { componentType, resultComponentType, M, N, K }
    ),
  );
}

/** A sentence if a device has no product of f16 with f32 sums at 16 x 16 x 16; else undefined. */
export function refusesMatrices(
  { subgroupMatrices = [] }: Pick<DeviceLimits, "subgroupMatrices">,
): string | undefined {
  const offered = subgroupMatrices.some(({ componentType, resultComponentType, M, N, K }) =>
    componentType === "f16" && resultComponentType === "f32" &&
    [M, N, K].every((side) => side === 16)
  );
  if (!offered) {
    return "it needs matrices of 16 x 16 x 16 in f16 with f32 sums and subgroups of 32 threads, and this device offers none";
  }
}
