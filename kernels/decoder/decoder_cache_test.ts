/** Decoders on caches with strides of their own, and on paged ones. */
import { assert, assertEquals, assertRejects, assertThrows } from "@std/assert";
import { readBytes, readerOf, submit, write } from "../core/run/run.ts";
import { encodePrompt } from "../encode/prompt.ts";
import { rotatePrompt } from "../encode/rotate_prompt.ts";
import { verify } from "../verify/verify.ts";
import { findVariant } from "../core/registry.ts";
import { hasPlainCache, tablePages } from "../core/problem/cache_layout.ts";
import { isRotated } from "../core/problem/derived.ts";
import { type Problem, ROTATED_CODE } from "../core/problem/problem.ts";
import { CACHES, tokensFirst } from "../../testing/inputs/caches.ts";
import { anyMaps, TokenFeed } from "../../testing/cases/decode_loop.ts";
import { canRun, openTestDevice } from "../../testing/device/test_device.ts";
import { createDecoder, type Decoder } from "./decoder.ts";
import { planDecoder } from "./decoder_plan.ts";

const testDevice = await openTestDevice();
const { device, limits, uncaptured } = testDevice;

const ROTATED: Problem = {
  batch: 2,
  qHeads: 6,
  kvHeads: 2,
  headDim: 64,
  kvLen: 1,
  capacity: 208,
  dtype: "f16",
  ...ROTATED_CODE,
  topK: { sparsity: 8 },
  sink: 4,
  recent: 16,
};
const LEARNED: Problem = {
  ...ROTATED,
  bits: 32,
  sharing: "head",
  map: { layers: 1, hidden: 64, dtype: "f16" },
  planes: 0,
};
const STEPS = 30;

async function assertStep(decoder: Decoder, where: string): Promise<void> {
  const { variant, problem, params } = decoder;
  const read = readerOf(device, decoder.buffers);
  const { ok, worst } = await verify(findVariant(variant), problem, params[variant], read);
  assert(ok, `${variant}, ${where}: ${JSON.stringify(worst)}`);
}

async function assertCodes(decoder: Decoder): Promise<void> {
  const { problem, params } = decoder;
  const encoder = isRotated(problem) ? rotatePrompt : encodePrompt;
  const read = readerOf(device, decoder.buffers);
  const { ok, worst } = await verify(encoder, problem, params[encoder.name], read);
  assert(ok, JSON.stringify(worst));
}

/** A decoder after a prompt. */
async function started(problem: Problem, variant: string): Promise<[Decoder, TokenFeed]> {
  const decoder = await createDecoder(device, problem, { variant, handOver: limits.handOver });
  if (decoder.buffers.query_map) {
    write(device, decoder.buffers.query_map, anyMaps(problem, 1));
    write(device, decoder.buffers.key_map, anyMaps(problem, 2));
  }
  const feed = new TokenFeed(device, decoder, [150, 1], [150 + STEPS, 1 + STEPS], 7);
  submit(device, decoder.recordPrompt);
  return [decoder, feed];
}

const LAYOUTS: typeof CACHES = { ...CACHES, "tokens before heads": tokensFirst };
const RUNS: readonly (readonly [variant: string, p: Problem, layout: string])[] = [
  ["dense/split_subgroup", ROTATED, "pages of 16 tokens"],
  ["pipeline/rotated_short", ROTATED, "pages of 64 tokens, tokens before heads, with gaps"],
  ["pipeline/rotated", ROTATED, "pages of 16 tokens"],
  ["pipeline/sparse", LEARNED, "tokens before heads"],
];
for (const [name, p, layout] of RUNS) {
  Deno.test({
    name: `${name} decodes ${STEPS} steps of ${layout}`,
    ignore: !canRun(testDevice, findVariant(name)),
    async fn() {
      const problem = LAYOUTS[layout](p);
      assert(!hasPlainCache(problem));
      const [decoder, feed] = await started(problem, name);
      for (let step = 1; step <= STEPS; step++) {
        feed.append();
        submit(device, decoder.recordStep);
        if (step % 15 === 0) await assertStep(decoder, `step ${step}`);
      }
      if (decoder.buffers.codes) await assertCodes(decoder);
      decoder.destroy();
    },
  });
}

Deno.test("a decoder reads no row through entries of the page table past the length", async () => {
  const problem = LAYOUTS["pages of 16 tokens"](ROTATED);
  const [decoder, feed] = await started(problem, "pipeline/rotated");
  feed.append();
  submit(device, decoder.recordStep);
  const bytes = decoder.buffers.out.size;
  const before = await readBytes(device, decoder.buffers.out, 0, bytes);
  // Sequence 1 has two tokens, in its first page.
  const pages = tablePages(problem);
  const first = 4 * (problem.batch + pages + 1);
  device.queue.writeBuffer(
    decoder.buffers.lengths,
    first,
    new Uint32Array(pages - 1).fill(0xffffffff),
  );
  submit(device, decoder.recordStep);
  assertEquals(await readBytes(device, decoder.buffers.out, 0, bytes), before);
  decoder.destroy();
});

Deno.test("a page out of range spoils its own sequence alone", async () => {
  const problem = LAYOUTS["pages of 16 tokens"](ROTATED);
  const [decoder, feed] = await started(problem, "pipeline/rotated");
  feed.append();
  submit(device, decoder.recordStep);
  const rowBytes = 4 * problem.qHeads * problem.headDim;
  const before = await readBytes(device, decoder.buffers.out, 0, rowBytes);
  const first = 4 * (problem.batch + tablePages(problem));
  device.queue.writeBuffer(decoder.buffers.lengths, first, Uint32Array.of(0xffffffff));
  submit(device, decoder.recordStep);
  assertEquals(await readBytes(device, decoder.buffers.out, 0, rowBytes), before);
  decoder.destroy();
});

Deno.test("createDecoder() refuses layouts in one sentence", async () => {
  const refused = (p: Partial<Problem>, message: string) =>
    assertRejects(() => createDecoder(device, { ...ROTATED, ...p }), RangeError, message);
  const { kvStrides: strides } = tokensFirst(ROTATED);
  await refused({ kvPages: { tokens: 48 } }, "kvPages.tokens must be one of 16, 32, 64, 128, 256");
  await refused({ kvPages: { tokens: 16, count: 0 } }, "kvPages.count must be a whole number from");
  await refused(
    { kvStrides: { ...strides!, token: 132 } },
    "kvStrides.token must be a multiple of 8 elements, 16 bytes, got 132",
  );
  await refused({ kvStrides: { ...strides!, head: 56 } }, "kvStrides.head must be a whole number");
});

Deno.test("planDecoder() refuses pieces of a cache with strides", () => {
  const { features } = testDevice;
  const plan = (p: Problem, most: number) =>
    planDecoder(p, { features, limits: { ...limits, maxStorageBufferBindingSize: most } }, {});
  // K has 262,144 bytes.
  const p = { ...ROTATED, capacity: 512 };
  plan(p, 2 ** 17);
  assertThrows(
    () => plan(tokensFirst(p), 2 ** 17),
    RangeError,
    "buffer keys needs 262144 bytes, this device binds 131072 at most, and a cache with pages or " +
      "strides has no pieces",
  );
});

Deno.test("decoder of other layouts: no GPU error went uncaught", () => {
  assertEquals(uncaptured, []);
});
