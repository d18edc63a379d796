/** Decoders that share scratch compute what decoders with their own compute. */
import { assert, assertEquals, assertRejects } from "@std/assert";
import { bufferBytes } from "../core/layout.ts";
import { type Problem, ROTATED_CODE } from "../core/problem/problem.ts";
import { findVariant } from "../core/registry.ts";
import { poison, readBytes, submit, write } from "../core/run/run.ts";
import { anyMaps, TokenFeed } from "../../testing/cases/decode_loop.ts";
import { canRun, openTestDevice } from "../../testing/device/test_device.ts";
import { createDecoder, type Decoder } from "./decoder.ts";
import { DecoderScratch } from "./decoder_scratch.ts";

const testDevice = await openTestDevice();
const { device, limits, uncaptured } = testDevice;

const LEARNED: Problem = {
  batch: 2,
  qHeads: 4,
  kvHeads: 2,
  headDim: 64,
  kvLen: 1,
  capacity: 640,
  dtype: "f16",
  bits: 32,
  sharing: "head",
  map: { layers: 1, hidden: 64, dtype: "f16" },
  topK: { sparsity: 8 },
  sink: 4,
  recent: 16,
};
const ROTATED: Problem = { ...LEARNED, ...ROTATED_CODE, centre: true };
const KEPT = ["q", "keys", "values", "lengths", "query_map", "key_map"] as const;
const LENGTHS = [[600, 3], [90, 571], [17, 1]];
const STEPS = 3;

const CASES: readonly [string, Problem][] = [
  ["pipeline/sparse_two", LEARNED],
  ["pipeline/rotated_four", ROTATED],
  ["dense/split_subgroup", LEARNED],
];
for (const [variant, p] of CASES) {
  Deno.test({
    name: `${variant}: three layers in a pass share scratch`,
    ignore: !canRun(testDevice, findVariant(variant)),
    fn: () => assertShared(variant, p),
  });
}

async function read({ problem, buffers }: Decoder, name: string): Promise<Uint8Array> {
  return await readBytes(device, buffers[name], 0, bufferBytes(problem)[name]);
}

async function assertShared(variant: string, p: Problem): Promise<void> {
  const options = { variant, handOver: limits.handOver, unroll: false };
  const scratch = new DecoderScratch(device);
  const separate: Decoder[] = [];
  const sharing: Decoder[] = [];
  const feeds: TokenFeed[] = [];
  for (const [layer, lengths] of LENGTHS.entries()) {
    const own = await createDecoder(device, p, options);
    const { query_map, key_map } = own.buffers;
    for (const map of [query_map, key_map]) if (map) write(device, map, anyMaps(p, layer));
    const buffers = Object.fromEntries(KEPT.map((name) => [name, own.buffers[name]]));
    separate.push(own);
    sharing.push(await createDecoder(device, p, { ...options, scratch, buffers }));
    const most = lengths.map((length) => length + STEPS);
    feeds.push(new TokenFeed(device, own, [...lengths], most, 7 + layer));
  }
  const [first, second] = sharing;
  const same = Object.keys(first.buffers).filter((n) => first.buffers[n] === second.buffers[n]);
  assert(same.length > 0);
  for (const name of ["out", "codes", "factors", "key_stats"]) assert(!same.includes(name));
  assertEquals(scratch.bytes, same.reduce((sum, name) => sum + first.buffers[name].size, 0));
  // What must be zero is; all else of the scratch may be anything.
  submit(device, ...[...separate, ...sharing].map(({ recordPrompt }) => recordPrompt));
  for (let step = 0; step < STEPS; step++) {
    for (const feed of feeds) feed.append();
    for (const { buffers } of [...separate, ...sharing]) poison(device, buffers.out);
    submit(device, ...[...separate, ...sharing].map(({ recordStep }) => recordStep));
    for (const [layer, decoder] of sharing.entries()) {
      assertEquals(await read(decoder, "out"), await read(separate[layer], "out"));
    }
  }
  // The others keep the scratch of a decoder that is gone.
  first.destroy();
  const again = sharing.slice(1);
  for (const { buffers } of again) poison(device, buffers.out);
  submit(device, ...again.map(({ recordStep }) => recordStep));
  assertEquals(await read(again[1], "out"), await read(separate[2], "out"));
  for (const decoder of [...again, ...separate]) decoder.destroy();
  scratch.destroy();
}

Deno.test("decoders of other problems get scratch of their own, and count only that", async () => {
  const scratch = new DecoderScratch(device);
  const problems = [LEARNED, { ...LEARNED, capacity: 1024 }, LEARNED];
  // At the same time, so that each finds the buffers that another has just made.
  const decoders = await Promise.all(problems.map((p) => createDecoder(device, p, { scratch })));
  const [own, longer, same] = decoders.map(({ buffers }) => buffers);
  const shared = Object.keys(own).filter((name) => own[name] === same[name]);
  assert(shared.length > 0);
  assertEquals(shared.filter((name) => longer[name] === own[name] && longer[name].size > 8192), []);
  // A further decoder makes only what no other has.
  const rest = Object.keys(own).filter((name) => !shared.includes(name));
  const memoryLimit = rest.reduce((sum, name) => sum + own[name].size, 0);
  const further = await createDecoder(device, LEARNED, { scratch, memoryLimit });
  for (const decoder of [...decoders, further]) decoder.destroy();
  scratch.destroy();
  await assertRejects(
    () => createDecoder(device, LEARNED, { scratch }),
    RangeError,
    "the scratch was destroyed",
  );
  await assertRejects(
    () => createDecoder(device, LEARNED, { scratch: new DecoderScratch({} as GPUDevice) }),
    RangeError,
    "the scratch is of another device",
  );
});

Deno.test("shared scratch: no GPU error went uncaught", () => assertEquals(uncaptured, []));
