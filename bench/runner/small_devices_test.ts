/** The best pipeline on devices with few bindings, little workgroup memory and small workgroups. */
import { assert, assertEquals } from "@std/assert";
import { loadMap, SHIPPED_MAP } from "../edge/files/map_file.ts";
import { readTraceFile, SHIPPED_TRACE } from "../edge/files/trace_file.ts";
import { checkDevice } from "../../kernels/check/device_check.ts";
import { planDecoder } from "../../kernels/decoder/decoder_plan.ts";
import { casesOf } from "../cases/cases.ts";
import { prepare } from "../measure/prepared_variant.ts";
import { openAdapter } from "../edge/open_adapter.ts";
import { CHROMIUM_LIMITS, withLimits } from "../measure/device/gpu_limits.ts";
import { InputSets } from "../measure/inputs/inputs.ts";
import { parseOptions } from "../run/options.ts";
import { traceInputs } from "./trace_case.ts";
import { quickCases } from "../cases/quick.ts";

const host = await openAdapter();

/** What a page in Chromium gets of this adapter. */
function limitsOfPage(): Record<string, number> {
  const { limits } = withLimits(host.adapter, "chromium");
  return Object.fromEntries(
    Object.keys(CHROMIUM_LIMITS).map((name) => [name, limits[name as "maxBufferSize"]]),
  );
}

interface SmallDevice {
  readonly limits: Readonly<Record<string, number>>;
  readonly features: readonly string[];
  /** The pipeline that such a device runs. */
  readonly pipeline: string;
}

const DEVICES: Readonly<Record<string, SmallDevice>> = {
  "Chromium's limits": {
    limits: limitsOfPage(),
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

const trace = await readTraceFile(SHIPPED_TRACE);
const learnedMap = await loadMap(SHIPPED_MAP);
const named = { name: "shipped", trace, learnedMap };
const cases = quickCases(casesOf(parseOptions(["--quick"]), named), true);

for (
  const [name, { limits: requiredLimits, features: wanted, pipeline }] of Object.entries(DEVICES)
) {
  Deno.test(`planDecoder() finds a pipeline that passes quickstart's cases: ${name}`, async () => {
    const { adapter } = await openAdapter();
    const device = await adapter.requestDevice({
      requiredLimits,
      requiredFeatures: wanted as GPUFeatureName[],
    });
    for (const [limit, value] of Object.entries(requiredLimits)) {
      assertEquals(device.limits[limit as "maxBufferSize"], value);
    }
    const { features, limits } = await checkDevice(device, "dispatch");
    assertEquals(cases.map(({ trace }) => trace !== undefined), [false, true]);
    for (const { problem, ...given } of cases) {
      const { variant, params } = planDecoder(problem, { features, limits }, {});
      assertEquals(variant.name, pipeline);
      const settings = { seed: 3, unroll: !host.info.software };
      const inputs = new InputSets(device, problem, {
        limits,
        ...settings,
        budgetBytes: 1e9,
        ...(given.trace ? traceInputs(given.trace, problem, { ...settings, learnedMap }) : {}),
      });
      const prepared = await prepare(inputs, variant, params[variant.name], {
        hot: true,
        layers: 1,
      });
      const { ok, relL2, checked } = await prepared.verify(0);
      assert(ok && relL2 < 1e-5, `${variant.name}: ${relL2}, ${checked}`);
      prepared.destroy();
      inputs.destroy();
    }
    device.destroy();
  });
}
