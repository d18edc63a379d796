/** What runs on devices with few bindings, little workgroup memory and small workgroups. */
import { assert, assertEquals } from "@std/assert";
import { checkDevice } from "../kernels/check/device_check.ts";
import { planDecoder } from "../kernels/pipeline/decoder_plan.ts";
import { casesOf } from "./cases.ts";
import { prepare } from "./contestant.ts";
import { openAdapter } from "./host.ts";
import { InputSets } from "./inputs.ts";
import { parseOptions } from "./options.ts";
import { QUICK_KV_LENS, quickCases } from "./quick.ts";

interface SmallDevice {
  readonly limits: Readonly<Record<string, number>>;
  readonly features: readonly string[];
  /** The pipeline that a device with these runs where it has the features. */
  readonly pipeline: string;
}

const DEVICES: Readonly<Record<string, SmallDevice>> = {
  "Chromium's limits": {
    limits: {
      maxStorageBuffersPerShaderStage: 10,
      maxComputeWorkgroupStorageSize: 32768,
      maxComputeInvocationsPerWorkgroup: 1024,
      maxComputeWorkgroupSizeX: 1024,
    },
    features: ["subgroups"],
    pipeline: "pipeline/sparse_two",
  },
  "8 buffers, 16 KiB, 256 threads": {
    limits: {
      maxStorageBuffersPerShaderStage: 8,
      maxComputeWorkgroupStorageSize: 16384,
      maxComputeInvocationsPerWorkgroup: 256,
    },
    features: ["subgroups"],
    pipeline: "pipeline/sparse_two",
  },
  "8 buffers, 16 KiB, 256 threads and no subgroups": {
    limits: {
      maxStorageBuffersPerShaderStage: 8,
      maxComputeWorkgroupStorageSize: 16384,
      maxComputeInvocationsPerWorkgroup: 256,
    },
    features: [],
    pipeline: "pipeline/sparse",
  },
};

const host = await openAdapter();
const cases = quickCases(casesOf(parseOptions(["--quick"])), true);

for (
  const [name, { limits: requiredLimits, features: wanted, pipeline }] of Object.entries(DEVICES)
) {
  Deno.test(`${name}: the best pipeline is right on quickstart's cases`, async () => {
    const { adapter } = await openAdapter();
    const device = await adapter.requestDevice({
      requiredLimits,
      requiredFeatures: wanted as GPUFeatureName[],
    });
    for (const [limit, value] of Object.entries(requiredLimits)) {
      assertEquals(device.limits[limit as "maxBufferSize"], value);
    }
    const { features, limits } = await checkDevice(device, "dispatch");
    assert(cases.length > 0 && cases.every(({ problem }) => QUICK_KV_LENS.includes(problem.kvLen)));
    for (const { problem } of cases) {
      const { contender, params } = planDecoder(problem, { features, limits }, {});
      assertEquals(contender.name, pipeline);
      const inputs = new InputSets(device, problem, {
        limits,
        seed: 3,
        budgetBytes: 1e9,
        unroll: !host.info.software,
      });
      const prepared = await prepare(inputs, contender, params[contender.name], true);
      const { ok, relL2, checked } = await prepared.verify(0);
      assert(ok && relL2 < 1e-5, `${contender.name}: ${relL2}, ${checked}`);
      prepared.destroy();
      inputs.destroy();
    }
    device.destroy();
  });
}
