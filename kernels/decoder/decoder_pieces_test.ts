/** A decoder whose cache exceeds a binding computes what one with a large enough binding does. */
import { assert, assertEquals } from "@std/assert";
import { bufferBytes } from "../core/layout.ts";
import { readBytes, readerOf, submit, write } from "../core/run/run.ts";
import { type Problem, ROTATED_CODE } from "../core/problem/problem.ts";
import { findVariant } from "../core/registry.ts";
import { verify } from "../verify/verify.ts";
import { binding, canRun, openTestDevice } from "../../testing/device/test_device.ts";
import { anyMaps, TokenFeed } from "../../testing/cases/decode_loop.ts";
import { createDecoder, type Decoder } from "./decoder.ts";

const testDevice = await openTestDevice();
const { device, uncaptured } = testDevice;

const LEARNED: Problem = {
  batch: 1,
  qHeads: 16,
  kvHeads: 4,
  headDim: 64,
  kvLen: 1,
  capacity: 768,
  dtype: "f16",
  bits: 32,
  sharing: "head",
  map: { layers: 1, hidden: 64, dtype: "f16" },
  topK: { sparsity: 8 },
  sink: 4,
  recent: 16,
};
const ROTATED: Problem = { ...LEARNED, ...ROTATED_CODE, qHeads: 6, kvHeads: 2, centre: true };

/** Steps of the decode loop. */
const STEPS = 12;

async function read(decoder: Decoder, name: string): Promise<Uint8Array<ArrayBuffer>> {
  const bytes = bufferBytes(decoder.problem)[name];
  return await readBytes(device, decoder.buffers[name], 0, bytes);
}

/** The relative L2 distance of two outputs. */
function distance(one: Uint8Array<ArrayBuffer>, other: Uint8Array<ArrayBuffer>): number {
  const [a, b] = [new Float32Array(one.buffer), new Float32Array(other.buffer)];
  return Math.hypot(...a.map((x, i) => x - b[i])) / Math.hypot(...b);
}

async function assertSame(name: string, p: Problem, heads: number): Promise<void> {
  const headBytes = bufferBytes(p).keys / (p.batch * p.kvHeads);
  // K and V are parts of one buffer, and pieces are parts of these.
  const { keys: size } = bufferBytes(p);
  const { STORAGE, COPY_DST, COPY_SRC } = GPUBufferUsage;
  const buffer = device.createBuffer({
    size: 256 + 2 * size,
    usage: STORAGE | COPY_DST | COPY_SRC,
  });
  const keys = { buffer, offset: 256, size };
  const values = { buffer, offset: 256 + size, size };
  const whole = await createDecoder(device, p, {
    variant: name,
    unroll: false,
    buffers: { keys, values },
  });
  const { q, lengths, query_map, key_map, sink_logits } = whole.buffers;
  const pieces = await createDecoder(binding(device, heads * headBytes), p, {
    variant: name,
    unroll: false,
    buffers: { q, keys, values, lengths, query_map, key_map, sink_logits },
  });
  assert("piece_lengths" in pieces.buffers && !("piece_lengths" in whole.buffers));
  if (query_map) {
    write(device, query_map, anyMaps(p, 1));
    write(device, key_map, anyMaps(p, 2));
  }
  write(device, sink_logits, Float32Array.from({ length: p.qHeads }, (_, head) => head % 5 - 1));
  const begin = [500, 90, 1, 333].slice(0, p.batch);
  const feed = new TokenFeed(device, whole, begin, begin.map((n) => n + STEPS), 7);
  submit(device, whole.recordPrompt, pieces.recordPrompt);
  for (let step = 1; step <= STEPS; step++) {
    feed.append();
    submit(device, whole.recordStep, pieces.recordStep);
    if (step % (STEPS / 2) !== 0) continue;
    const { ok, worst } = await verify(
      findVariant(name),
      p,
      whole.params[name],
      readerOf(device, whole.bindings),
    );
    assert(ok, `step ${step}: ${JSON.stringify(worst)}`);
    const error = distance(await read(pieces, "out"), await read(whole, "out"));
    assert(error < 1e-5, `step ${step}: pieces differ by ${error}`);
  }
  for (const codes of ["codes", "factors"].filter((each) => each in whole.buffers)) {
    assertEquals(await read(pieces, codes), await read(whole, codes), codes);
  }
  pieces.destroy();
  whole.destroy();
  buffer.destroy();
}

const CASES: readonly [string, string, Problem, number][] = [
  ["two KV heads", "pipeline/sparse_two", LEARNED, 2],
  ["one KV head", "dense/split_subgroup", LEARNED, 1],
  ["one KV head", "pipeline/rotated_two", ROTATED, 1],
  ["one KV head of several sequences", "pipeline/rotated", { ...ROTATED, batch: 3 }, 1],
  ["two sequences", "pipeline/sparse", { ...LEARNED, batch: 4 }, 8],
];
for (const [what, name, p, heads] of CASES) {
  Deno.test({
    name: `${name} decodes in pieces of ${what}`,
    ignore: !canRun(testDevice, findVariant(name)),
    fn: () => assertSame(name, p, heads),
  });
}

Deno.test("decoder in pieces: no GPU error went uncaught", () => assertEquals(uncaptured, []));
