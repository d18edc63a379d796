import { assert, assertEquals, assertNotEquals, assertRejects } from "@std/assert";
import { bufferBytes } from "../../../kernels/core/layout.ts";
import { tablePages } from "../../../kernels/core/problem/cache_layout.ts";
import type { Problem } from "../../../kernels/core/problem/problem.ts";
import { openTestDevice } from "../../../testing/device/test_device.ts";
import { testCase } from "../../../testing/cases/grid.ts";
import { FILL_KIND } from "../../../kernels/probe/probes.ts";
import { bufferUsage } from "../../../kernels/core/run/program.ts";
import { fill } from "./fill.ts";
import { InputSets } from "./inputs.ts";
import { readBytes } from "../../../kernels/core/run/run.ts";

const { device, limits } = await openTestDevice();
const { p } = testCase({ heads: [4, 1], lengths: [64] });
const SPEC = { bytes: 4, role: "input" } as const;

Deno.test("InputSets gives every token its own place in the pool, in each set", async () => {
  const unequal: Problem = { ...p, batch: 2, lengths: [64, 3] };
  const inputs = new InputSets(device, unequal, {
    limits,
    seed: 1,
    budgetBytes: 1e9,
    unroll: false,
  });
  const bytes = 4 * 2 * p.capacity;
  const read = async (set: number) => {
    const buffer = await inputs.get("token_index", { bytes, role: "input" }, {}, set);
    return new Uint32Array((await readBytes(device, buffer, 0, bytes)).buffer);
  };
  const [first, second] = [await read(0), await read(1)];
  assertNotEquals(first, second);
  for (const index of [first, second]) {
    const held = [...index.subarray(0, 64), ...index.subarray(p.capacity, p.capacity + 3)];
    assertEquals(new Set(held).size, 67);
    assert(held.every((place) => place < 2 * p.capacity));
  }
  inputs.destroy();
});

Deno.test("InputSets puts a page table of its own for each set behind the lengths", async () => {
  const paged: Problem = { ...p, batch: 2, lengths: [64, 3], kvPages: { tokens: 16 } };
  const settings = { limits, seed: 1, budgetBytes: 1e9, unroll: false };
  const inputs = new InputSets(device, paged, settings);
  const pages = tablePages(paged);
  const { lengths: bytes } = bufferBytes(paged);
  assertEquals(bytes, 4 * (2 + 2 * pages));
  const read = async (set: number) => {
    const buffer = await inputs.get("lengths", { bytes, role: "input" }, {}, set);
    return new Uint32Array((await readBytes(device, buffer, 0, bytes)).buffer);
  };
  const [first, second] = [await read(0), await read(1)];
  assertNotEquals(first, second);
  for (const words of [first, second]) {
    assertEquals([...words.subarray(0, 2)], [64, 3]);
    const used = [...words.subarray(2, 6), words[2 + pages]];
    assertEquals(new Set(used).size, 5);
    assert(used.every((page) => page < 2 * pages));
  }
  inputs.destroy();
});

Deno.test("InputSets.get() refuses sets beyond the budget, but never set 0", async () => {
  const inputs = new InputSets(device, p, { limits, seed: 1, budgetBytes: 1, unroll: false });
  const first = await inputs.get("lengths", SPEC, {}, 0);
  assertEquals(await inputs.get("lengths", SPEC, {}, 0), first);
  await assertRejects(
    () => inputs.get("lengths", SPEC, {}, 1),
    RangeError,
    "lengths needs 16 bytes beyond the 1 set aside for inputs",
  );
  inputs.destroy();
});

Deno.test("fill() gives every part of a buffer beyond a binding data of its own", async () => {
  const buffer = device.createBuffer({ size: 2000, usage: bufferUsage({}) });
  const filled = async (most?: number) => {
    await fill(device, buffer, FILL_KIND.bits, 7, most);
    return new Uint32Array((await readBytes(device, buffer, 0, 2000)).buffer);
  };
  const [whole, parts] = [await filled(), await filled(700)];
  assertEquals(parts.subarray(0, 128), whole.subarray(0, 128));
  assertEquals(new Set(parts).size, 500);
  buffer.destroy();
});
