import { assert, assertEquals, assertRejects } from "@std/assert";
import { create } from "webgpu";
import { openAdapter } from "../../bench/edge/open_adapter.ts";
import { findVariant, VARIANTS } from "../core/registry.ts";
import { testCase } from "../../testing/cases/grid.ts";
import { planDecoder } from "./decoder_plan.ts";
import { createDecoder } from "./decoder.ts";
import { limitsOf } from "../core/device_limits.ts";
import { MATRIX_FEATURE } from "../core/subgroup_matrices.ts";
import {
  DECODER_FEATURES,
  decoderDeviceDescriptor,
  requestDecoderDevice,
} from "./request_device.ts";

/** Dawn's devices live only as long as the object from `create`, so the module keeps it. */
const dawn = create(["backend=null"]);

Deno.test("DECODER_FEATURES are the features that kernels of a decoder need", () => {
  // No decoder computes a prompt's attention, or asks for matrix units, which are an experiment.
  const used = VARIANTS.filter(({ stage, features }) =>
    stage !== "prefill" && !features.includes(MATRIX_FEATURE)
  );
  const needed = new Set(used.flatMap(({ features }) => features));
  assertEquals([...needed].sort(), [...DECODER_FEATURES].sort());
});

const ADAPTERS: Readonly<Record<string, () => Promise<GPUAdapter | null>>> = {
  "the runtime's adapter": async () => (await openAdapter()).adapter,
  "Dawn's adapter": () => dawn.requestAdapter(),
};

/** Whether an adapter grants subgroups. Some adapters do without listing them. */
async function grantsSubgroups(adapter: GPUAdapter): Promise<boolean> {
  const request = adapter.requestDevice({ requiredFeatures: ["subgroups"] });
  return await request.then((device) => (device.destroy(), true), () => false);
}

for (const [name, open] of Object.entries(ADAPTERS)) {
  Deno.test(`requestDecoderDevice() gives all limits of ${name}`, async () => {
    const adapter = await open();
    const device = await requestDecoderDevice(adapter!);
    assertEquals(device.features.has("subgroups"), await grantsSubgroups((await open())!));
    const { handOver, ...known } = limitsOf(device);
    assertEquals(handOver, undefined);
    assert(Object.keys(known).length >= 6);
    for (const [limit, value] of Object.entries(known)) {
      if (limit === "subgroupMinSize") continue;
      const listed = adapter!.limits[limit as "maxBufferSize"];
      const widest = limit === "maxComputeInvocationsPerWorkgroup"
        ? Math.min(listed, adapter!.limits.maxComputeWorkgroupSizeX)
        : listed;
      assertEquals(value, widest, limit);
    }
    device.destroy();
  });
}

Deno.test("createDecoder() uses features that a bare device does not have", async () => {
  const { p } = testCase({ lengths: [300] });
  const { adapter } = await openAdapter();
  const device = await requestDecoderDevice(adapter);
  const decoder = await createDecoder(device, p);
  const bare = planDecoder(p, { features: new Set(), limits: limitsOf(device) }, {});
  assertEquals(bare.variant.features, []);
  const expected = await grantsSubgroups((await openAdapter()).adapter) ? ["subgroups"] : [];
  assertEquals(findVariant(decoder.variant).features, expected);
  decoder.destroy();
  device.destroy();
});

Deno.test("createDecoder() works without adapterInfo, as in older browsers", async () => {
  const { p } = testCase({ lengths: [300] });
  const { adapter } = await openAdapter();
  const device = await requestDecoderDevice(adapter);
  Object.defineProperty(device, "adapterInfo", { value: undefined });
  assertEquals(limitsOf(device).subgroupMinSize, undefined);
  const decoder = await createDecoder(device, p, { unroll: false });
  decoder.destroy();
  device.destroy();
});

/** An adapter that lists and grants the given features, and records the requests. */
function fakeAdapter(listed: readonly string[], granted: readonly string[], opens = true) {
  const limits = { maxBufferSize: 2 ** 40, maxStorageBuffersPerShaderStage: 10 };
  const requests: GPUDeviceDescriptor[] = [];
  const adapter = {
    features: new Set(listed),
    // As in browsers: the values are on the prototype.
    limits: Object.create(limits),
    requestDevice(descriptor: GPUDeviceDescriptor) {
      requests.push(descriptor);
      const refused = [...descriptor.requiredFeatures ?? []].find((name) =>
        !granted.includes(name)
      );
      if (refused) return Promise.reject(new TypeError(`no feature ${refused}`));
      if (!opens) return Promise.reject(new DOMException("no device", "OperationError"));
      return Promise.resolve({ features: new Set(descriptor.requiredFeatures) });
    },
  };
  return { adapter: adapter as unknown as GPUAdapter, requests };
}

const requested = ({ requiredFeatures }: GPUDeviceDescriptor) => [...requiredFeatures ?? []];

Deno.test("decoderDeviceDescriptor() requests only the wanted features that are listed", async () => {
  const { adapter, requests } = fakeAdapter(["subgroups", "shader-f16"], ["subgroups"]);
  await requestDecoderDevice(adapter);
  assertEquals(requests.map(requested), [["subgroups"]]);
  assertEquals(requested(decoderDeviceDescriptor(adapter, ["timestamp-query"])), []);
  assertEquals(requested(decoderDeviceDescriptor(adapter, ["shader-f16"])), ["shader-f16"]);
});

Deno.test("requestDecoderDevice() tries unlisted subgroups, and does without if refused", async () => {
  const hiding = fakeAdapter([], ["subgroups"]);
  const found = await requestDecoderDevice(hiding.adapter);
  assert(found.features.has("subgroups"));
  const lacking = fakeAdapter([], []);
  const plain = await requestDecoderDevice(lacking.adapter);
  assertEquals(plain.features.size, 0);
  assertEquals(lacking.requests.map(requested), [["subgroups"], []]);
  for (const { requiredLimits } of lacking.requests) {
    assertEquals(requiredLimits?.maxBufferSize, 2 ** 40);
    assertEquals(requiredLimits?.maxStorageBuffersPerShaderStage, 10);
  }
  const unwanted = fakeAdapter([], ["subgroups"]);
  await requestDecoderDevice(unwanted.adapter, []);
  assertEquals(unwanted.requests.map(requested), [[]]);
});

Deno.test("requestDecoderDevice() passes on the error of an adapter that opens no device", async () => {
  const { adapter } = fakeAdapter([], [], false);
  await assertRejects(() => requestDecoderDevice(adapter), DOMException, "no device");
});
