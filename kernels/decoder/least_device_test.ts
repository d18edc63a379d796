import { assertEquals } from "@std/assert";
import { MODELS } from "../../fixtures/models.ts";
import { gatherMerge } from "../attend/gather_merge.ts";
import type { DeviceLimits, Variant } from "../core/variant.ts";
import { checkProblem } from "../core/check_problem.ts";
import type { Problem } from "../core/problem.ts";
import { VARIANTS } from "../core/registry.ts";
import { DEFAULT_LIMITS } from "../core/device_limits.ts";

/** WebGPU's default limits, but with buffers that are large enough for the caches. */
const LEAST: DeviceLimits = {
  ...DEFAULT_LIMITS,
  maxStorageBufferBindingSize: 2 ** 31 - 4,
  maxBufferSize: 2 ** 34,
};

const SHAPES = [
  ...MODELS,
  { qHeads: 64, kvHeads: 4, headDim: 256 },
  { qHeads: 40, kvHeads: 40, headDim: 96 },
].map(({ qHeads, kvHeads, headDim }) => ({ qHeads, kvHeads, headDim }));

function* problems(): Generator<Problem> {
  for (const shape of SHAPES) {
    for (const kvLen of [8192, 16384, 32768, 65536, 131072]) {
      for (const bits of [32, 64, 128]) {
        for (const sharing of ["head", "group"] as const) {
          for (const [layers, dtype, window] of [[1, "f16", 0], [3, "f32", 128]] as const) {
            yield {
              ...shape,
              batch: 1,
              kvLen,
              capacity: kvLen,
              // In f32 the largest caches exceed any binding. The kernels run the same way.
              dtype: "f16",
              bits,
              sharing,
              map: { layers, hidden: 128, dtype },
              topK: { sparsity: 32 },
              sink: window,
              recent: window,
            };
          }
        }
      }
    }
  }
}

const portable = VARIANTS.filter(({ stage, features }) =>
  stage === "pipeline" && features.length === 0
);

function refusal(variant: Variant, p: Problem): string | undefined {
  return variant.refuses(p, variant.defaults(p, LEAST), LEAST);
}

Deno.test("some portable pipeline runs every problem with 8 buffers, 16 KiB and 256 threads", () => {
  let count = 0;
  for (const p of problems()) {
    checkProblem(p);
    const why = portable.map((variant) => refusal(variant, p));
    assertEquals(why.every((each) => each !== undefined), false, `${JSON.stringify(p)}: ${why}`);
    count++;
  }
  assertEquals(count, SHAPES.length * 60);
});

Deno.test("attend/gather_merge takes smaller workgroups on a device with less memory", () => {
  const limits: DeviceLimits = { ...LEAST, subgroupMinSize: 32 };
  for (const kvLen of [1024, 8192, 131072]) {
    const [p] = problems();
    const wide = { ...p, headDim: 256, kvLen, capacity: kvLen };
    const params = gatherMerge.defaults(wide, limits);
    assertEquals(gatherMerge.refuses(wide, params, limits), undefined);
    // A device with more memory keeps the workgroup size that is fastest there.
    const roomy = gatherMerge.defaults(wide, { ...limits, maxComputeWorkgroupStorageSize: 49152 });
    assertEquals(roomy.WORKGROUP, kvLen > 65536 ? 256 : 128);
  }
});
