import { assertEquals } from "@std/assert";
import { openTestDevice } from "../../../testing/device/test_device.ts";
import { bufferUsage } from "./program.ts";
import { poison, readBytes, readerOf, write } from "./run.ts";

const { device, uncaptured } = await openTestDevice();

Deno.test("readBytes() reads in parts if the length exceeds the largest buffer", async () => {
  const buffer = device.createBuffer({ size: 256, usage: bufferUsage({}) });
  const bytes = Uint8Array.from({ length: 256 }, (_, i) => (i * 7) % 251);
  write(device, buffer, bytes);
  for (const [offset, length] of [[0, 256], [3, 100], [1, 255], [252, 4], [5, 0]]) {
    for (const most of [24, 100, 1 << 20]) {
      const read = await readBytes(device, buffer, offset, length, most);
      assertEquals(read, bytes.slice(offset, offset + length), `${offset} ${length} ${most}`);
    }
  }
  buffer.destroy();
});

Deno.test("poison() overwrites all bytes except those that must stay zero", async () => {
  const buffer = device.createBuffer({ size: 64, usage: bufferUsage({}) });
  const read = readerOf(device, { buffer });
  write(device, buffer, new Uint8Array(64).fill(7));
  poison(device, buffer, { offset: 16, bytes: 8 });
  const wanted = new Uint8Array(64).fill(0xff).fill(7, 16, 24);
  assertEquals(await read("buffer", 0, 64), wanted);
  write(device, buffer, new Uint8Array(64).fill(7));
  poison(device, buffer, { offset: 4, bytes: 8, every: 32 });
  const parts = new Uint8Array(64).fill(0xff).fill(7, 4, 12).fill(7, 36, 44);
  assertEquals(await read("buffer", 0, 64), parts);
  poison(device, buffer);
  assertEquals(await read("buffer", 0, 64), new Uint8Array(64).fill(0xff));
  buffer.destroy();
});

Deno.test("write() copies only the bytes of the view", async () => {
  const buffer = device.createBuffer({ size: 16, usage: bufferUsage({}) });
  write(device, buffer, Uint32Array.of(1, 2, 3, 4).subarray(1, 3));
  assertEquals(await readBytes(device, buffer, 0, 8), new Uint8Array([2, 0, 0, 0, 3, 0, 0, 0]));
  buffer.destroy();
});

Deno.test("run: no GPU error went uncaught", () => assertEquals(uncaptured, []));
