import { assert, assertEquals } from "@std/assert";
import { MODELS } from "../../fixtures/models.ts";
import { gatherMerge } from "../attend/gather_merge.ts";
import type { DeviceLimits, Variant } from "../core/variant.ts";
import { checkProblem } from "../core/problem/check_problem.ts";
import { type Problem, ROTATION } from "../core/problem/problem.ts";
import { VARIANTS } from "../core/registry.ts";
import { DEFAULT_LIMITS } from "../core/device_limits.ts";

/** WebGPU's default limits, but with buffers that are large enough for the caches. */
const LEAST: DeviceLimits = {
  ...DEFAULT_LIMITS,
  maxStorageBufferBindingSize: 2 ** 34,
  maxBufferSize: 2 ** 34,
};

const SHAPES = [
  ...MODELS,
  { qHeads: 64, kvHeads: 4, headDim: 256 },
  { qHeads: 40, kvHeads: 40, headDim: 96 },
  { qHeads: 64, kvHeads: 1, headDim: 80 },
  { qHeads: 128, kvHeads: 2, headDim: 256 },
  { qHeads: 32, kvHeads: 1, headDim: 112 },
  { qHeads: 24, kvHeads: 1, headDim: 192 },
  { qHeads: 17, kvHeads: 1, headDim: 64 },
].map(({ qHeads, kvHeads, headDim }) => ({ qHeads, kvHeads, headDim }));

function* problems(): Generator<Problem> {
  for (const shape of SHAPES) {
    for (const kvLen of [8192, 16384, 32768, 65536, 131072]) {
      for (const bits of [32, 64, 128]) {
        for (const sharing of ["head", "group", "kv"] as const) {
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
              map: sharing === "kv" ? ROTATION : { layers, hidden: 128, dtype },
              // Rotated codes with the most planes and the most bins.
              planes: sharing === "kv" ? layers : 0,
              bins: { count: layers === 1 ? 64 : 256, range: 6 },
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

const portable = VARIANTS.filter(({ features }) => features.length === 0);
/** The stages of which a decoder needs a variant, and those that `bench` times. */
const STAGES = ["pipeline", "dense", "prefill", "encode_prompt", "encode_append"] as const;

function refusal(variant: Variant, p: Problem): string | undefined {
  return variant.refuses(p, variant.defaults(p, LEAST), LEAST);
}

Deno.test("some portable variant runs every problem with 8 buffers, 16 KiB and 256 threads", () => {
  let count = 0;
  for (const p of problems()) {
    checkProblem(p);
    for (const stage of STAGES) {
      const why = portable.filter((each) => each.stage === stage).map((each) => refusal(each, p));
      assert(why.includes(undefined), `${stage} ${JSON.stringify(p)}: ${why.join("; ")}`);
    }
    count++;
  }
  assertEquals(count, SHAPES.length * 90);
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
