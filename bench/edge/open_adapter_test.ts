import { assert, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { openAdapter } from "./open_adapter.ts";
import { type AdapterFacts, describeAdapter, openDevice } from "../measure/device/adapter.ts";

const ADAPTER = JSON.stringify(import.meta.resolve("../measure/device/adapter.ts"));
const HOST = JSON.stringify(import.meta.resolve("./open_adapter.ts"));

const FACTS: AdapterFacts = {
  runtime: "deno 2.9.6",
  adapter: "Some GPU",
  vendor: "nvidia",
  driver: "NVIDIA 580.1",
  backend: "vulkan",
  software: false,
  compiler: "naga",
  toggles: "",
  limits: "adapter",
};

Deno.test("openAdapter() fills in every fact about the adapter", async () => {
  const { adapter, info } = await openAdapter({ driver: "given by hand" });
  assertEquals(info.runtime, `deno ${Deno.version.deno}`);
  assertEquals(info.backend, Deno.env.get("DENO_WEBGPU_BACKEND"));
  assertEquals(info.software, adapter.info.isFallbackAdapter);
  assertEquals([info.compiler, info.toggles, info.limits], ["naga", "", "adapter"]);
  for (const [name, value] of Object.entries(info)) {
    assert(value !== "" || name === "toggles", name);
  }
});

Deno.test("openDevice() takes the adapter's limits and only the wanted features", async () => {
  const { adapter } = await openAdapter();
  const { device, features } = await openDevice(adapter, ["timestamp-query", "subgroups"]);
  assertEquals(device.limits.maxBufferSize, adapter.limits.maxBufferSize);
  assertEquals(
    device.limits.maxComputeWorkgroupStorageSize,
    adapter.limits.maxComputeWorkgroupStorageSize,
  );
  assertEquals(features.has("timestamp-query"), adapter.features.has("timestamp-query"));
  assert(!features.has("shader-f16") && !device.features.has("shader-f16"));
  device.destroy();

  const bare = await openDevice(adapter, []);
  assertEquals([...bare.features], []);
  bare.device.destroy();
});

Deno.test("openDevice() passes an uncaptured error to its callback", async () => {
  const { adapter } = await openAdapter();
  const caught: Error[] = [];
  const { device } = await openDevice(adapter, [], (error) => caught.push(error));
  device.createBuffer({ size: 2 ** 45, usage: GPUBufferUsage.STORAGE });
  await device.queue.onSubmittedWorkDone();
  device.destroy();
  assertEquals(caught.length, 1);
  assertStringIncludes(caught[0].message, "Uncaptured GPU error");
});

Deno.test("describeAdapter() warns about software adapters only", () => {
  const hardware = describeAdapter(FACTS);
  assertMatch(hardware, /^Adapter: Some GPU .*NVIDIA 580\.1.*vulkan.*deno 2\.9\.6$/);
  assertStringIncludes(
    describeAdapter({ ...FACTS, software: true }),
    "\nWARNING: timings on a software adapter say nothing about a GPU.",
  );
});

Deno.test("openAdapter() says in one sentence what to do without an adapter", async () => {
  const script = `
    import { NoAdapterError, openAdapter } from ${HOST};
    const error = await openAdapter().catch((error) => error);
    if (error instanceof NoAdapterError) console.error(error.message);`;
  const { stderr } = await new Deno.Command(Deno.execPath(), {
    args: ["eval", script],
    // A backend that this system does not have.
    env: { DENO_WEBGPU_BACKEND: Deno.build.os === "windows" ? "metal" : "dx12" },
  }).output();
  assertMatch(
    new TextDecoder().decode(stderr),
    /^No WebGPU adapter was found on the \w+ backend; .*quickstart.*\.\n$/,
  );
});

Deno.test("openDevice() ends the program on an uncaptured error without a callback", async () => {
  const script = `
    import { openAdapter } from ${HOST};
    import { openDevice } from ${ADAPTER};
    const { device } = await openDevice((await openAdapter()).adapter, []);
    device.createBuffer({ size: 2 ** 45, usage: GPUBufferUsage.STORAGE });
    await device.queue.onSubmittedWorkDone();`;
  const { code, stderr } = await new Deno.Command(Deno.execPath(), {
    args: ["eval", script],
  }).output();
  assertEquals(code, 1);
  assertStringIncludes(new TextDecoder().decode(stderr), "Uncaptured GPU error");
});
