/** A run stays within a device's limits. A larger buffer is refused with both sizes. */
import {
  assert,
  assertEquals,
  assertGreater,
  assertMatch,
  assertRejects,
  assertThrows,
} from "@std/assert";
import type { DeviceLimits } from "../../kernels/core/variant.ts";
import { bufferUsage } from "../../kernels/core/run/program.ts";
import { findVariant } from "../../kernels/core/registry.ts";
import { openTestDevice } from "../../testing/device/test_device.ts";
import { casesOf } from "../cases/cases.ts";
import { eligible } from "../measure/session.ts";
import { prepare } from "../measure/prepared_variant.ts";
import {
  allocateWithin,
  checkHolds,
  DeviceMemoryError,
} from "../../kernels/core/run/device_memory.ts";
import { InputSets } from "../measure/inputs/inputs.ts";
import { parseOptions } from "../run/options.ts";
import { inFolder, runProgram } from "../../testing/command.ts";

const test = await openTestDevice();
const { device, features } = test;

const [{ problem }] = casesOf(parseOptions(["--shape", "4x1x64", "--kv", "4096"]));

/** Variants whose inputs other variants make. */
const FED = ["select/counting", "select/bitonic", "attend/gather", "merge/merge"].map(
  findVariant,
);

function limitedTo(bytes: number): DeviceLimits {
  return { ...test.limits, maxStorageBufferBindingSize: bytes };
}

/** Sizes of the storage buffers that `body` creates. */
async function sizesCreatedBy(body: () => Promise<void>): Promise<number[]> {
  const sizes: number[] = [];
  const create = device.createBuffer;
  device.createBuffer = (descriptor) => {
    if (descriptor.usage === bufferUsage({})) sizes.push(descriptor.size);
    return create.call(device, descriptor);
  };
  try {
    await body();
    return sizes;
  } finally {
    device.createBuffer = create;
  }
}

Deno.test("eligible() admits only kernels that stay within the limits, makers too", async () => {
  let [ran, refusals] = [0, 0];
  for (let exponent = 10; exponent <= 21; exponent += 2) {
    const limits = limitedTo(2 ** exponent);
    for (const encode of [false, true]) {
      const { able, refused } = eligible({ features, limits }, problem, FED, encode);
      for (const { why } of refused) {
        assertMatch(why, /buffer \w+ needs \d+ bytes, this device binds \d+ at most$/);
        refusals++;
      }
      const settings = { limits, seed: 1, budgetBytes: 1e9, unroll: false, encode };
      const inputs = new InputSets(device, problem, settings);
      const sizes = await sizesCreatedBy(async () => {
        for (const variant of able) {
          const params = variant.defaults(problem, limits);
          const prepared = await prepare(inputs, variant, params, { hot: true, layers: 1 });
          prepared.destroy();
          ran++;
        }
      });
      inputs.destroy();
      assertEquals(sizes.filter((size) => size > 2 ** exponent), []);
    }
  }
  assertGreater(ran, 10);
  assertGreater(refusals, 10);
  assertEquals(test.uncaptured, []);
});

Deno.test("InputSets.get() refuses an input beyond the limits before it is created", async () => {
  const limits = limitedTo(4096);
  const settings = { limits, seed: 1, budgetBytes: 1e9, unroll: false };
  const inputs = new InputSets(device, problem, settings);
  const counting = findVariant("select/counting");
  const params = counting.defaults(problem, limits);
  const { buffers } = counting.plan(problem, params);
  const sizes = await sizesCreatedBy(async () => {
    const ask = () => inputs.get("distances", buffers.distances, params, 0);
    await assertRejects(ask, RangeError, "this device binds 4096 at most");
    const keys = { bytes: 8192, role: "input" } as const;
    await assertRejects(() => inputs.get("keys", keys, params, 0), RangeError, "needs 8192 bytes");
  });
  assertEquals(sizes, []);
});

Deno.test("allocateWithin() reports and captures a lack of memory", async () => {
  const specs = { huge: { bytes: 2 ** 45, role: "output" } } as const;
  const create = device.createBuffer;
  // A driver without free memory creates an invalid buffer. Only an error scope reports it.
  const scopes: string[] = [];
  const [push, pop] = [device.pushErrorScope, device.popErrorScope];
  device.pushErrorScope = (filter) => void scopes.push(filter);
  device.popErrorScope = () =>
    Promise.resolve(scopes.pop() === "out-of-memory" ? new GPUOutOfMemoryError("full") : null);
  device.createBuffer = ({ usage }) => create.call(device, { size: 16, usage });
  try {
    const failure = await assertRejects(() => allocateWithin(device, specs), DeviceMemoryError);
    assertMatch(
      (failure as Error).message,
      /^the device has too little memory left for huge, which needs \d{14} bytes$/,
    );
  } finally {
    device.createBuffer = create;
    device.pushErrorScope = push;
    device.popErrorScope = pop;
  }
});

Deno.test("bench leaves out a kernel whose inputs the device cannot make, in a sentence", () =>
  inFolder(async (folder) => {
    // Every device that binds less than the 8 GiB of codes refuses this. Pieces do not help, since
    // a KV head has 2 GiB.
    const problem = ["--shape", "64x64x256", "--kv", "2097152", "--bits", "128", "--batch", "4"];
    problem.push("--dtype", "f32");
    const { code, err } = await runProgram(
      `${import.meta.dirname}/../run/main.ts`,
      ...problem,
      "--kernels",
      "select/counting",
      "--out",
      `${folder}/results`,
    );
    assertEquals(code, 2, err);
    assertMatch(
      err,
      /\nLeft out: select\/counting: [^\n]+ needs \d+ bytes, [^\n]+ \d+ at most\.\n$/,
    );
    assert(!err.includes("    at "), err);
  }));

Deno.test("checkHolds() refuses a buffer that is too large once rounded up to whole words", () => {
  const limits = limitedTo(2 ** 20 - 4);
  const plan = {
    buffers: { odd: { bytes: 2 ** 20 - 4, role: "output" } },
    dispatches: [],
  } as const;
  assertThrows(() => checkHolds(plan, limits), RangeError, "odd needs 1048576 bytes");
  checkHolds(plan, limitedTo(2 ** 20));
});
