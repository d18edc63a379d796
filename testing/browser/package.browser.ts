/** The npm package in a Chromium: a decoder of two variants, as a page imports it. */
import { assert, assertEquals } from "@std/assert";
import { buildPackage } from "../../tools/npm.ts";
import { serveFolder } from "../../tools/serve_folder.ts";
import { startChromium } from "./start_chromium.ts";

Deno.test("a decoder of the package attends in a browser as the reference does", async () => {
  const folder = await Deno.makeTempDir();
  await buildPackage(`${folder}/npm`);
  Deno.writeTextFileSync(`${folder}/index.html`, "<!doctype html><title>package</title>");
  const server = serveFolder(folder, 0);
  const browser = await startChromium();
  try {
    const page = await browser.newPage();
    await page.goto(server.url);
    const { variant, errors } = await page.evaluate(PROGRAM) as {
      variant: string;
      errors: number[];
    };
    assertEquals(variant, "pipeline/rotated_short");
    assert(errors.length === 2 && errors.every((error) => error < 1e-5), JSON.stringify(errors));
  } finally {
    await browser.close();
    await server.stop();
    await Deno.remove(folder, { recursive: true });
  }
});

/** Attends all tokens, so that the sparse step must give what dense attention does. */
const PROGRAM = `(async () => {
  const { createDecoderOf, denseReference, denseSplitSubgroup, requestDecoderDevice, rotateAppend,
    rotatePrompt, rotatedShort } = await import("./npm/hashattention.js");
  const device = await requestDecoderDevice(await navigator.gpu.requestAdapter());
  const [kvLen, headDim] = [300, 64];
  const problem = { batch: 1, qHeads: 2, kvHeads: 1, headDim, kvLen, capacity: 512, dtype: "f32",
    topK: { sparsity: 1 }, sink: 4, recent: 16 };
  const variants = [rotatedShort, denseSplitSubgroup, rotatePrompt, rotateAppend];
  const numbers = (count, step) =>
    Float32Array.from({ length: count }, (_, i) => Math.sin(step * i));
  const [k, v] = [0.37, 1.13].map((step) => numbers(kvLen * headDim, step));
  const q = numbers(2 * headDim, 0.71);
  const wanted = [0, 1].flatMap((head) => [...denseReference(
    q.subarray(head * headDim, (head + 1) * headDim),
    (token) => k.subarray(token * headDim, (token + 1) * headDim),
    (token) => v.subarray(token * headDim, (token + 1) * headDim),
    kvLen,
  )]);
  const errors = [];
  let first = "";
  for (const options of [{}, { variant: "dense/split_subgroup" }]) {
    const decoder = await createDecoderOf(variants, device, problem, options);
    first ||= decoder.variant;
    const { keys, values, lengths, out } = decoder.buffers;
    device.queue.writeBuffer(keys, 0, k);
    device.queue.writeBuffer(values, 0, v);
    device.queue.writeBuffer(decoder.buffers.q, 0, q);
    device.queue.writeBuffer(lengths, 0, Uint32Array.of(kvLen));
    const bytes = 8 * headDim;
    const staging = device.createBuffer({ size: bytes, usage: 9 });
    const encoder = device.createCommandEncoder();
    const pass = encoder.beginComputePass();
    decoder.recordPrompt(pass);
    decoder.recordStep(pass);
    pass.end();
    encoder.copyBufferToBuffer(out, 0, staging, 0, bytes);
    device.queue.submit([encoder.finish()]);
    await staging.mapAsync(1);
    const got = new Float32Array(staging.getMappedRange());
    const norm = (all) => Math.sqrt(all.reduce((sum, each) => sum + each * each, 0));
    errors.push(norm(wanted.map((each, i) => each - got[i])) / norm(wanted));
  }
  return { variant: first, errors };
})()`;
