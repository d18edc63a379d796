import { assertEquals } from "@std/assert";
import { LARGE_LIMITS } from "../pipeline/device_limits.ts";
import { openTestDevice } from "../testing.ts";
import { checkDevice, readHandOver, subgroupFaultOf } from "./device_check.ts";

const { device, features } = await openTestDevice();

for (const handOver of ["dispatch", "atomics", "barrier"] as const) {
  Deno.test(`checkDevice() finds no fault with this device and a hand-over by ${handOver}`, async () => {
    const { limits, features: kept, notes } = await checkDevice(device, handOver);
    assertEquals(notes, []);
    assertEquals(limits.handOver, handOver);
    assertEquals(kept.has("subgroups"), features.has("subgroups"));
    assertEquals(typeof limits.subgroupMinSize === "number", features.has("subgroups"));
  });
}

Deno.test("checkDevice() checks a device once for each hand-over", () => {
  assertEquals(checkDevice(device, "barrier"), checkDevice(device, "barrier"));
});

Deno.test("readHandOver() trusts a barrier only where a compiler's output was read", () => {
  assertEquals(readHandOver("naga", "vulkan"), "barrier");
  for (const backend of ["metal", "dx12", "gl", "unknown"]) {
    assertEquals(readHandOver("naga", backend), "dispatch");
  }
  assertEquals(readHandOver("tint", "vulkan"), "dispatch");
  assertEquals(readHandOver("unknown", "vulkan"), "dispatch");
});

const found = (...words: number[]) => Uint32Array.from(words);

Deno.test("subgroupFaultOf() accepts consecutive threads", () => {
  assertEquals(subgroupFaultOf(found(8, 5, 16, 20), 21, 8), undefined);
  assertEquals(subgroupFaultOf(found(64, 21, 0, 20), 21, undefined), undefined);
});

Deno.test("subgroupFaultOf() names what does not hold", () => {
  assertEquals(
    subgroupFaultOf(found(16, 5, 16, 20), 21, LARGE_LIMITS.subgroupMinSize),
    "a subgroup has 16 threads, the device reports at least 32",
  );
  assertEquals(subgroupFaultOf(found(1, 0, 21, 20), 21, 1), "a subgroup has 1 threads");
  // Threads dealt out in turn, as a compiler might that packs workgroups in two dimensions.
  assertEquals(
    subgroupFaultOf(found(8, 2, 5, 20), 21, 8),
    "thread 21 is number 2 of a subgroup of 8 that thread 5 begins",
  );
  assertEquals(
    subgroupFaultOf(found(8, 5, 16, 21), 21, 8),
    "a shuffle gives thread 21 the value of 21 instead of 20",
  );
});
