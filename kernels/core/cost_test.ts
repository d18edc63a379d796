import { assert, assertEquals } from "@std/assert";
import { costBytes, type DeviceLimits, type Variant } from "./variant.ts";
import { EVERY_VARIANT } from "./registry.ts";
import { testCase } from "../../testing/testing_grid.ts";

const LIMITS: DeviceLimits = {
  maxStorageBufferBindingSize: 2 ** 30,
  maxBufferSize: 2 ** 30,
  maxComputeWorkgroupStorageSize: 32768,
  maxComputeInvocationsPerWorkgroup: 1024,
  maxComputeWorkgroupsPerDimension: 65535,
  maxStorageBuffersPerShaderStage: 16,
  maxUniformBufferBindingSize: 65536,
  subgroupMinSize: 32,
};

const { p: equal } = testCase({ heads: [8, 2], lengths: [4096, 4096], windows: [8, 16] });
const { lengths: _none, ...plain } = equal;
const { p: unequal } = testCase({ heads: [8, 2], lengths: [4096, 16], windows: [8, 16] });

/**
 * Encoding one token and joining partials cost the same for every sequence length within one
 * capacity, and so does a dense kernel that reads the cache to its capacity.
 */
const dependsOnLength = ({ name, stage }: Variant) =>
  !["encode_query", "encode_append", "merge"].includes(stage) && name !== "dense/gpt_fast";

for (const variant of EVERY_VARIANT) {
  Deno.test(`${variant.name}: its cost depends on the length of each sequence`, () => {
    const params = variant.defaults(plain, LIMITS);
    assertEquals(variant.cost(equal, params), variant.cost(plain, params));
    const [all, fewer] = [plain, unequal].map((p) => variant.cost(p, params));
    if (!dependsOnLength(variant)) assertEquals(fewer, all);
    else {
      assert(
        costBytes(fewer) < costBytes(all) && fewer.flops <= all.flops,
        "fewer tokens must cost fewer bytes, and no more FLOPs",
      );
    }
  });
}
