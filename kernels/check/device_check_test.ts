import { assert, assertEquals, assertMatch, assertNotEquals, assertRejects } from "@std/assert";
import { createDecoder, type DecoderOptions } from "../decoder/decoder.ts";
import { LARGE_LIMITS } from "../core/device_limits.ts";
import { findVariant } from "../core/registry.ts";
import { openTestDevice } from "../../testing/device/test_device.ts";
import { testCase } from "../../testing/cases/grid.ts";
import {
  checkDevice,
  findHandOverFault,
  handOverKernel,
  readHandOver,
  subgroupFaultOf,
} from "./device_check.ts";

const { device, features } = await openTestDevice();

for (const handOver of ["dispatch", "atomics", "barrier"] as const) {
  Deno.test(`checkDevice() finds no fault in a hand-over by ${handOver} here`, async () => {
    const { limits, features: kept, notes } = await checkDevice(device, handOver);
    assertEquals(notes, []);
    assertEquals(limits.handOver, handOver);
    assertEquals(kept.has("subgroups"), features.has("subgroups"));
    assertEquals(typeof limits.subgroupMinSize === "number", features.has("subgroups"));
  });
}

Deno.test("checkDevice() checks a device once for each hand-over", () => {
  // assertEquals finds all promises equal, so the references are compared.
  assert(checkDevice(device, "barrier") === checkDevice(device, "barrier"));
  assert(checkDevice(device, "barrier") !== checkDevice(device, "dispatch"));
});

const SUBGROUPS_FAULT = "Kernels with subgroups are left out: " +
  "a shuffle gives thread 0 the value of 0 instead of 1.";
const HAND_OVER_FAULT = "A dispatch of its own merges partials on this device: " +
  "3584 of 4096 hand-overs by barrier took place.";

/** A device whose shuffles do nothing, and whose hand-overs within a dispatch never end. */
async function openFaultyDevice(): Promise<GPUDevice> {
  const { device } = await openTestDevice();
  const create = device.createShaderModule.bind(device);
  device.createShaderModule = ({ label = "", code }) => {
    if (!label.startsWith("check/")) return create({ label, code });
    const faulty = code.replace("first, neighbour)", "first, thread)")
      .replace("== SPLITS - 1u", "== SPLITS");
    assertNotEquals(faulty, code);
    return create({ label, code: faulty });
  };
  return device;
}

Deno.test("checkDevice() removes features that fail, with a sentence for each", async () => {
  const faulty = await openFaultyDevice();
  const { limits, features: kept, notes } = await checkDevice(faulty, "barrier");
  assertEquals(kept.has("subgroups"), false);
  assertEquals(limits.subgroupMinSize, undefined);
  assertEquals(limits.handOver, "dispatch");
  assertEquals(notes, [...features.has("subgroups") ? [SUBGROUPS_FAULT] : [], HAND_OVER_FAULT]);

  const { p } = testCase({ lengths: [300] });
  const decoder = await createDecoder(faulty, p, { unroll: false });
  assertEquals(findVariant(decoder.variant).features, []);
  decoder.destroy();
  const refused = async (options: DecoderOptions) =>
    (await assertRejects(() => createDecoder(faulty, p, options), Error)).message;
  assertEquals(await refused({ handOver: "barrier" }), HAND_OVER_FAULT);
  if (features.has("subgroups")) {
    assertEquals(
      await refused({ variant: "pipeline/sparse_subgroup" }),
      `pipeline/sparse_subgroup needs the device feature subgroups. ${SUBGROUPS_FAULT}`,
    );
  }
  faulty.destroy();
});

Deno.test("checkDevice() removes features if the compiler refuses its kernels", async () => {
  const { device: refusing } = await openTestDevice();
  const create = refusing.createShaderModule.bind(refusing);
  refusing.createShaderModule = ({ label = "", code }) =>
    create({ label, code: label.startsWith("check/") ? "no WGSL" : code });
  const { limits, features: kept, notes } = await checkDevice(refusing, "barrier");
  assertEquals(kept.has("subgroups"), false);
  assertEquals(limits.handOver, "dispatch");
  const reversed = notes.toReversed();
  assertMatch(
    reversed[0],
    /^A dispatch of its own merges partials on this device: check\/hand_over does not compile: .+\.$/,
  );
  if (features.has("subgroups")) {
    assertMatch(
      reversed[1],
      /^Kernels with subgroups are left out: check\/subgroups does not compile: .+\.$/,
    );
  }
  assertEquals(reversed.length, features.has("subgroups") ? 2 : 1);

  const { p } = testCase({ lengths: [300] });
  const decoder = await createDecoder(refusing, p, { unroll: false });
  assertEquals(findVariant(decoder.variant).features, []);
  decoder.destroy();
  refusing.destroy();
});

Deno.test("checkDevice() checks again after an error", async () => {
  const { device: unlucky } = await openTestDevice([]);
  const { createBuffer } = unlucky;
  unlucky.createBuffer = () => {
    throw new Error("out of luck");
  };
  await assertRejects(() => checkDevice(unlucky, "atomics"), Error, "out of luck");
  unlucky.createBuffer = createBuffer;
  assertEquals((await checkDevice(unlucky, "atomics")).notes, []);
  unlucky.destroy();
});

const FAULTS: Readonly<Record<string, { from: string; to: string; fault: RegExp }>> = {
  "partials that are missing": {
    from: "store_partial(own + WORKGROUP, expected(turn, own + WORKGROUP));",
    to: "",
    fault: /^32768 partials did not arrive in 4096 hand-overs by (barrier|atomics)$/,
  },
  "one partial that is missing": {
    from: "store_partial(own + WORKGROUP, expected(turn, own + WORKGROUP));",
    to: "if (own + turn > 1u) { store_partial(own + WORKGROUP, expected(turn, own + WORKGROUP)); }",
    fault: /^1 partial did not arrive in 4096 hand-overs by (barrier|atomics)$/,
  },
  "a last workgroup that never arrives": {
    from: "== SPLITS - 1u",
    to: "== SPLITS",
    fault: /^3584 of 4096 hand-overs by (barrier|atomics) took place$/,
  },
};

for (const [what, { from, to, fault }] of Object.entries(FAULTS)) {
  Deno.test(`findHandOverFault() finds ${what}`, async () => {
    const source = handOverKernel.source.replace(from, to);
    assertNotEquals(source, handOverKernel.source);
    for (const handOver of ["barrier", "atomics"] as const) {
      const found = await findHandOverFault(device, handOver, { ...handOverKernel, source });
      assertMatch(found!, fault);
    }
  });
}

Deno.test("readHandOver() trusts a barrier only if the compiler's output was read", () => {
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

Deno.test("subgroupFaultOf() names the fault", () => {
  assertEquals(
    subgroupFaultOf(found(16, 5, 16, 20), 21, LARGE_LIMITS.subgroupMinSize),
    "a subgroup has 16 threads, the device reports at least 32",
  );
  assertEquals(subgroupFaultOf(found(1, 0, 21, 20), 21, 1), "a subgroup has 1 thread");
  // Interleaved threads: a compiler might do this when it packs workgroups in two dimensions.
  assertEquals(
    subgroupFaultOf(found(8, 2, 5, 20), 21, 8),
    "thread 21 is number 2 of a subgroup of 8 that thread 5 begins",
  );
  assertEquals(
    subgroupFaultOf(found(8, 5, 16, 21), 21, 8),
    "a shuffle gives thread 21 the value of 21 instead of 20",
  );
});
