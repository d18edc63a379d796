import { assert, assertEquals } from "@std/assert";
import { openAdapter } from "../../edge/open_adapter.ts";
import { openDevice } from "./adapter.ts";
import { WGPU } from "./gpu_choice.ts";
import { CHROMIUM_LIMITS, withLimits } from "./gpu_limits.ts";

Deno.test("withLimits() leaves the adapter, or lowers what a page in Chromium does not get", async () => {
  const { adapter } = await openAdapter();
  assert(withLimits(adapter, "adapter") === adapter);
  const page = withLimits(adapter, "chromium");
  assertEquals(page.limits.maxStorageBuffersPerShaderStage, 10);
  assertEquals(page.limits.maxBindGroups, adapter.limits.maxBindGroups);
  assertEquals([...page.features], [...adapter.features]);
  for (const [name, most] of Object.entries(CHROMIUM_LIMITS)) {
    const limit = name as keyof typeof CHROMIUM_LIMITS;
    assertEquals(page.limits[limit], Math.min(most, adapter.limits[limit]), name);
  }
  // A limit that is smaller than Chromium's stays.
  const limits = { ...CHROMIUM_LIMITS, maxStorageBuffersPerShaderStage: 8 };
  const small = withLimits(
    { ...page, limits: limits as unknown as GPUSupportedLimits },
    "chromium",
  );
  assertEquals(small.limits.maxStorageBuffersPerShaderStage, 8);
});

Deno.test("openAdapter() with limits of Chromium gives devices that have them", async () => {
  const { adapter, info } = await openAdapter({ gpu: { ...WGPU, limits: "chromium" } });
  assertEquals(info.limits, "chromium");
  const { device } = await openDevice(adapter, ["subgroups"]);
  assertEquals(device.limits.maxComputeWorkgroupStorageSize, 32768);
  assert(device.limits.maxBufferSize <= 2 ** 31);
  device.destroy();
});
