import { assert, assertEquals, assertRejects, assertThrows } from "@std/assert";
import { openAdapter } from "../../bench/edge/open_adapter.ts";
import { POISON, poison, readBytes, readerOf, submit, write } from "../core/run/run.ts";
import { encodePrompt } from "../encode/prompt.ts";
import { rotatePrompt } from "../encode/rotate_prompt.ts";
import { verify } from "../verify/verify.ts";
import { bufferBytes } from "../core/layout.ts";
import { codeHeads, codeWords, isRotated, prefixOf } from "../core/problem/derived.ts";
import { type Problem, ROTATED_CODE } from "../core/problem/problem.ts";
import { DECODER_VARIANTS, findVariant, VARIANTS } from "../core/registry.ts";
import { canRun, openTestDevice } from "../../testing/device/test_device.ts";
import { LARGE_LIMITS } from "../core/device_limits.ts";
import { type PlanChoice, planDecoder } from "./decoder_plan.ts";
import { createDecoder, createDecoderOf, type Decoder } from "./decoder.ts";
import { anyMaps, TokenFeed } from "../../testing/cases/decode_loop.ts";

const testDevice = await openTestDevice();
const { device, limits, uncaptured } = testDevice;

const GROWING: Problem = {
  batch: 3,
  qHeads: 6,
  kvHeads: 2,
  headDim: 64,
  kvLen: 1,
  capacity: 1136,
  dtype: "f16",
  bits: 32,
  sharing: "head",
  map: { layers: 1, hidden: 64, dtype: "f16" },
  topK: { sparsity: 8 },
  sink: 4,
  recent: 16,
};
const SMALL: Problem = { ...GROWING, batch: 2, capacity: 112, dtype: "f32" };

/** Small blocks, so that sequences of a few hundred tokens span several. */
const SMALL_BLOCKS = {
  "score.BLOCK": 512,
  "score.WORKGROUP": 128,
  "score.SLICES": 4,
  "select.WORKGROUP": 64,
};

function writeMaps(on: GPUDevice, { problem, buffers }: Decoder): void {
  if (isRotated(problem)) return;
  write(on, buffers.query_map, anyMaps(problem, 1));
  write(on, buffers.key_map, anyMaps(problem, 2));
}

/** Verifies the output of the last step, and the codes that it added. */
async function assertStep(on: GPUDevice, decoder: Decoder, where: string): Promise<void> {
  const { variant, problem, params } = decoder;
  const checkResult = await verify(
    findVariant(variant),
    problem,
    params[variant],
    readerOf(on, decoder.buffers),
  );
  assert(checkResult.ok, `${variant}, ${where}: ${JSON.stringify(checkResult)}`);
}

/** Verifies the codes of all tokens so far. */
async function assertCodes(on: GPUDevice, decoder: Decoder): Promise<void> {
  const { problem, params } = decoder;
  const encoder = isRotated(problem) ? rotatePrompt : encodePrompt;
  const checkResult = await verify(
    encoder,
    problem,
    params[encoder.name],
    readerOf(on, decoder.buffers),
  );
  assert(checkResult.ok, JSON.stringify(checkResult));
}

const STEPS = 100;
const GROUPED: Problem = { ...GROWING, batch: 2, dtype: "bf16", sharing: "group", bits: 64 };
const pipelines = VARIANTS.filter((variant) =>
  variant.stage === "pipeline" && canRun(testDevice, variant)
);
const ROTATED: Problem = { ...GROWING, ...ROTATED_CODE };
const PREFIXED: Problem = { ...ROTATED, kvLen: 481, prefix: 480 };
for (const [i, { name, defaults, refuses }] of pipelines.entries()) {
  Deno.test(`${name} decodes ${STEPS} steps of growing sequences of unequal length`, async () => {
    const runs = (p: Problem) => refuses(p, defaults(p, limits), limits) === undefined;
    const problems = [...(i % 2 === 1 ? [GROUPED] : []), GROWING, ROTATED, PREFIXED];
    const problem = problems.find(runs)!;
    const known = defaults({ ...problem, ragged: true }, limits);
    const blocks = Object.fromEntries(
      Object.entries(SMALL_BLOCKS).filter(([each]) => each in known),
    );
    const decoder = await createDecoder(device, problem, {
      variant: name,
      handOver: limits.handOver,
      params: { [name]: blocks },
    });
    assertEquals(decoder.params[name], { ...known, ...blocks });
    writeMaps(device, decoder);
    // One sequence grows past one block's end, one past two, and one starts almost empty.
    const lengths = [500, 930, 1 + prefixOf(problem)].slice(0, problem.batch);
    const feed = new TokenFeed(device, decoder, lengths, lengths.map((n) => n + STEPS), 7);
    submit(device, decoder.recordPrompt);
    for (let step = 1; step <= STEPS; step++) {
      feed.append();
      submit(device, decoder.recordStep);
      if (step % 25 === 0) await assertStep(device, decoder, `step ${step}`);
    }
    await assertCodes(device, decoder);
    decoder.destroy();
  });
}

Deno.test("createDecoder() decodes several turns of requests over a shared prefix", async () => {
  const { map: _map, bits: _bits, sharing: _sharing, ...problem } = PREFIXED;
  const sparse = await createDecoder(device, problem);
  const { q, keys, values, lengths } = sparse.buffers;
  const dense = await createDecoder(device, PREFIXED, {
    variant: "dense/cascade",
    buffers: { q, keys, values, lengths },
  });
  assertEquals(findVariant(sparse.variant).sharedPrefix, "only");
  const begin = [481, 500, 930];
  const [turns, question, answer] = [3, 20, 10];
  const most = begin.map((n) => n + turns * (question + answer));
  const feed = new TokenFeed(device, sparse, begin, most, 7);
  submit(device, sparse.recordPrompt);
  for (let turn = 1; turn <= turns; turn++) {
    for (let token = 0; token < question; token++) {
      feed.append();
      submit(device, sparse.recordAppend);
    }
    for (let token = 0; token < answer; token++) {
      feed.append();
      submit(device, sparse.recordStep, dense.recordStep);
    }
    await assertStep(device, sparse, `turn ${turn}`);
    await assertStep(device, dense, `turn ${turn}`);
  }
  await assertCodes(device, sparse);
  dense.destroy();
  sparse.destroy();
});

Deno.test("a decoder records nothing after it is destroyed", async () => {
  const decoder = await createDecoder(device, SMALL);
  decoder.destroy();
  for (const record of [decoder.recordStep, decoder.recordAppend, decoder.recordPrompt]) {
    const refused = () => submit(device, (pass) => record(pass));
    assertThrows(refused, Error, "the decoder is destroyed");
  }
});

Deno.test("recordPrompt() gives the codes of appending the tokens one by one", async () => {
  const whole = await createDecoder(device, SMALL);
  writeMaps(device, whole);
  new TokenFeed(device, whole, [97, 64], [97, 64], 3);
  submit(device, whole.recordPrompt);
  await assertCodes(device, whole);

  const { keys, values, query_map, key_map } = whole.buffers;
  const grown = await createDecoder(device, SMALL, {
    buffers: { keys, values, query_map, key_map },
  });
  assertEquals(grown.buffers.keys, keys);
  for (let token = 1; token <= 97; token++) {
    device.queue.writeBuffer(grown.buffers.lengths, 0, Uint32Array.of(token, Math.min(token, 64)));
    submit(device, grown.recordAppend);
  }
  await assertCodes(device, grown);
  const size = bufferBytes(SMALL).codes;
  const [once, oneByOne] = await Promise.all(
    [whole, grown].map(({ buffers }) => readBytes(device, buffers.codes, 0, size)),
  );
  const tokenBytes = 4 * codeWords(SMALL);
  let different = 0;
  for (let list = 0; list < SMALL.batch * codeHeads(SMALL); list++) {
    const from = list * SMALL.capacity * tokenBytes;
    const end = from + (list < codeHeads(SMALL) ? 97 : 64) * tokenBytes;
    for (let i = from; i < end; i++) different += Number(once[i] !== oneByOne[i]);
  }
  // Sums in another order may flip a bit whose pre-activation is close to 0.
  assert(different <= 2, `${different} bytes of codes differ`);

  grown.destroy();
  submit(device, whole.recordStep);
  await assertStep(device, whole, "after a decoder that shared its buffers was destroyed");
  whole.destroy();
});

Deno.test("recordPrompt() gives the rotated codes of appending the tokens one by one", async () => {
  const { map: _, bits: __, sharing: ___, ...shapes } = SMALL;
  const whole = await createDecoder(device, shapes);
  assert(isRotated(whole.problem));
  new TokenFeed(device, whole, [97, 64], [97, 64], 3);
  submit(device, whole.recordPrompt);
  await assertCodes(device, whole);
  const { keys, values } = whole.buffers;
  const grown = await createDecoder(device, shapes, { buffers: { keys, values } });
  for (let token = 1; token <= 97; token++) {
    device.queue.writeBuffer(grown.buffers.lengths, 0, Uint32Array.of(token, Math.min(token, 64)));
    submit(device, grown.recordAppend);
  }
  await assertCodes(device, grown);
  submit(device, whole.recordStep, grown.recordStep);
  for (const decoder of [whole, grown]) await assertStep(device, decoder, "after the prompt");
  grown.destroy();
  whole.destroy();
});

Deno.test("createDecoder() refuses a map without what it makes", async () => {
  const { bits: _, ...unsized } = SMALL;
  await assertRejects(
    () => createDecoder(device, unsized),
    RangeError,
    "a problem with a map needs bits; without a map, codes are rotated",
  );
});

Deno.test("recordStep() of two decoders works in one pass", async () => {
  const other: Problem = { ...SMALL, batch: 1, headDim: 96, dtype: "f16", topK: { count: 9 } };
  const decoders = await Promise.all([createDecoder(device, SMALL), createDecoder(device, other)]);
  const feeds = decoders.map((decoder, i) => {
    writeMaps(device, decoder);
    const { batch, qHeads } = decoder.problem;
    device.queue.writeBuffer(decoder.buffers.sink_logits, 0, new Float32Array(qHeads).fill(i));
    return new TokenFeed(device, decoder, Array(batch).fill(40), Array(batch).fill(60), 5 + i);
  });
  submit(device, ...decoders.map(({ recordPrompt }) => recordPrompt));
  for (let step = 0; step < 20; step++) {
    feeds.forEach((feed) => feed.append());
    submit(device, ...decoders.map(({ recordStep }) => recordStep));
  }
  for (const decoder of decoders) {
    await assertStep(device, decoder, "side by side");
    await assertCodes(device, decoder);
    decoder.destroy();
  }
});

Deno.test("createDecoder() binds parts of the caller's buffers", async () => {
  const whole = await createDecoder(device, SMALL);
  writeMaps(device, whole);
  const { keys, values, codes, query_map, key_map } = whole.buffers;
  new TokenFeed(device, whole, [70, 3], [70, 3], 19);
  const none = new Float32Array(SMALL.qHeads).fill(1);
  write(device, whole.buffers.sink_logits, none);
  const usage = GPUBufferUsage.STORAGE | GPUBufferUsage.COPY_DST | GPUBufferUsage.COPY_SRC;
  const make = (size: number, more = 0) => device.createBuffer({ size, usage: usage | more });
  // K and V lie in one buffer, inputs in another, and what is written in a third.
  const cache = make(512 + keys.size + 256 + values.size);
  const inputs = make(8192, GPUBufferUsage.UNIFORM);
  const written = make(256 + codes.size + 256 + whole.buffers.out.size + 256);
  for (const buffer of [cache, inputs, written]) poison(device, buffer);
  const { q, lengths, out, sink_logits } = whole.buffers;
  assert(q.size <= 4096 && codes.size % 256 === 0);
  const buffers = {
    keys: { buffer: cache, offset: 512, size: keys.size },
    values: { buffer: cache, offset: 512 + keys.size + 256 },
    query_map,
    key_map,
    q: { buffer: inputs, offset: 256, size: q.size },
    lengths: { buffer: inputs, offset: 4608, size: lengths.size },
    sink_logits: { buffer: inputs, offset: 5120, size: sink_logits.size },
    codes: { buffer: written, offset: 256, size: codes.size },
    out: { buffer: written, offset: 512 + codes.size, size: out.size },
  };
  const parts = await createDecoder(device, SMALL, { buffers });
  assertEquals(parts.bindings.values.size, values.size);
  const encoder = device.createCommandEncoder();
  for (const name of ["keys", "values", "q", "lengths", "sink_logits"] as const) {
    const { buffer, offset, size } = parts.bindings[name];
    encoder.copyBufferToBuffer(whole.buffers[name], 0, buffer, offset, size);
  }
  device.queue.submit([encoder.finish()]);
  for (const decoder of [whole, parts]) {
    submit(device, decoder.recordPrompt, decoder.recordStep);
  }
  await assertStep(device, whole, "over whole buffers");
  const read = (decoder: Decoder, name: string) => {
    const { buffer, offset } = decoder.bindings[name];
    return readBytes(device, buffer, offset, bufferBytes(SMALL)[name]);
  };
  assertEquals(await read(parts, "out"), await read(whole, "out"));
  assertEquals(await readBytes(device, written, 0, 256), new Uint8Array(256).fill(POISON));
  const between = await readBytes(device, written, 256 + codes.size, 256);
  assertEquals(between, new Uint8Array(256).fill(POISON));
  parts.destroy();
  for (const buffer of [cache, inputs, written]) buffer.destroy();
  whole.destroy();
});

// Each has a merge of its own.
for (const variant of ["pipeline/rotated", "pipeline/rotated_two", "dense/split_subgroup"]) {
  Deno.test({
    name: `${variant} with a merge takes f16 queries and outputs`,
    ignore: !canRun(testDevice, findVariant(variant)),
    async fn() {
      const formats = { qDtype: "f16", outDtype: "f16", scale: 0.2, softCap: 2 } as const;
      const problem: Problem = { ...SMALL, ...ROTATED_CODE, ...formats };
      const decoder = await createDecoder(device, problem, { variant, unroll: false });
      const { batch, qHeads, headDim } = problem;
      assertEquals(decoder.buffers.out.size, 2 * batch * qHeads * headDim);
      const feed = new TokenFeed(device, decoder, [70, 3], [72, 5], 21);
      submit(device, decoder.recordPrompt);
      for (let step = 0; step < 2; step++) {
        feed.append();
        submit(device, decoder.recordStep);
        await assertStep(device, decoder, `step ${step}`);
      }
      decoder.destroy();
    },
  });
}

Deno.test("createDecoder() chooses a pipeline that uses the features of the device", async () => {
  const decoder = await createDecoder(device, SMALL);
  decoder.destroy();
  const { stage, features } = findVariant(decoder.variant);
  assertEquals(stage, "pipeline");
  assertEquals(features.includes("subgroups"), testDevice.features.has("subgroups"));
});

Deno.test("planDecoder() lets the last workgroup merge only if the caller allows it", () => {
  const facts = {
    features: new Set(["subgroups"]),
    limits: { ...LARGE_LIMITS, handOver: undefined },
  };
  const dispatches = (choice: PlanChoice) =>
    planDecoder(SMALL, facts, choice).step.dispatches.map(({ kernel }) => kernel.name);
  const two = ["score/encode_score", "attend/select_gather"];
  assertEquals(dispatches({}), [...two, "merge/join_splits"]);
  assertEquals(dispatches({ handOver: "dispatch" }), [...two, "merge/join_splits"]);
  for (const choice of [{ lastArriver: true }, { handOver: "barrier" }] as const) {
    assertEquals(dispatches(choice), two);
  }
  assertEquals(dispatches({ handOver: "atomics" }), two);
});

for (const choice of [{ lastArriver: true }, { handOver: "atomics" }, {}] as const) {
  Deno.test(`createDecoder() with ${JSON.stringify(choice)} decodes`, async () => {
    const decoder = await createDecoder(device, SMALL, choice);
    const two = decoder.variant === "pipeline/sparse_two";
    assertEquals(two, testDevice.features.has("subgroups"));
    writeMaps(device, decoder);
    const feed = new TokenFeed(device, decoder, [70, 3], [72, 5], 13);
    submit(device, decoder.recordPrompt);
    for (let step = 0; step < 2; step++) {
      feed.append();
      submit(device, decoder.recordStep);
      await assertStep(device, decoder, `step ${step} with ${JSON.stringify(choice)}`);
    }
    await assertCodes(device, decoder);
    decoder.destroy();
  });
}

for (const handOver of ["dispatch", "barrier", "atomics"] as const) {
  Deno.test({
    name: `a dense decoder with hand-over by ${handOver} shares out unequal sequences`,
    ignore: !testDevice.features.has("subgroups"),
    async fn() {
      const variant = "dense/split_subgroup";
      const problem = { ...GROWING, batch: 5, capacity: 512 };
      const decoder = await createDecoder(device, problem, { variant, handOver });
      assertEquals(decoder.params[variant].SHARED, 1);
      const lengths = [31, 500, 1, 63, 7];
      const feed = new TokenFeed(device, decoder, lengths, lengths.map((n) => n + 3), 17);
      for (let step = 0; step < 3; step++) {
        feed.append();
        submit(device, decoder.recordStep);
        await assertStep(device, decoder, `step ${step}`);
      }
      decoder.destroy();
    },
  });
}

Deno.test("createDecoder() knows all variants but prompt attention and other systems' steps", () => {
  const left = VARIANTS.filter((variant) => !DECODER_VARIANTS.includes(variant));
  assertEquals(left.map(({ name }) => name), [
    "prefill/flash",
    "prefill/flash_matrix",
    "dense/token_pool",
    "dense/gpt_fast",
  ]);
});

Deno.test("createDecoderOf() knows the given variants alone, and says what is missing", async () => {
  const names = ["encode/prompt", "encode/append", "pipeline/sparse", "dense/split"];
  const few = names.map(findVariant);
  const decoder = await createDecoderOf(few, device, SMALL);
  assertEquals([decoder.variant, Object.keys(decoder.params).sort()], [
    "pipeline/sparse",
    ["encode/append", "encode/prompt", "pipeline/sparse"],
  ]);
  decoder.destroy();
  const refusal = (variants: string[], options = {}) =>
    assertRejects(
      () => createDecoderOf(variants.map(findVariant), device, SMALL, options),
      RangeError,
    );
  assertEquals(
    (await refusal(names, { variant: "dense/gpt_fast" })).message,
    `no kernel is called dense/gpt_fast; the known kernels are ${names.join(", ")}`,
  );
  assertEquals(
    (await refusal(["pipeline/sparse", "encode/append"])).message,
    "no kernel is called encode/prompt; the known kernels are pipeline/sparse, encode/append",
  );
  assertEquals(
    (await refusal(["dense/split", "pipeline/rotated"])).message,
    "none of the given variants is a pipeline for codes of a map",
  );
});

Deno.test("planDecoder() gives the same plan for the parameters of a plan", () => {
  const facts = { features: new Set(["subgroups"]), limits: LARGE_LIMITS };
  for (const { name, stage } of DECODER_VARIANTS) {
    if (stage !== "pipeline" && stage !== "dense") continue;
    for (const p of [SMALL, { ...SMALL, sharing: "group" as const }]) {
      let first;
      try {
        first = planDecoder(p, facts, { variant: name });
      } catch {
        continue; // not for this problem
      }
      const { params } = first;
      assertEquals(planDecoder(p, facts, { variant: name, params }).params, params);
    }
  }
  const { variant, params } = planDecoder(SMALL, facts, {});
  assertEquals(planDecoder(SMALL, facts, { params }).variant.name, variant.name);
});

Deno.test("createDecoder() with a dense variant shares buffers and encodes nothing", async () => {
  const sparse = await createDecoder(device, SMALL);
  const { q, keys, values, lengths, codes, out } = sparse.buffers;
  const dense = await createDecoder(device, SMALL, {
    variant: "dense/split",
    buffers: { q, keys, values, lengths, codes, out },
  });
  new TokenFeed(device, sparse, [90, 33], [90, 33], 9);
  submit(device, dense.recordPrompt, dense.recordAppend, dense.recordStep);
  await assertStep(device, dense, "over a sparse decoder's buffers");
  dense.destroy();
  sparse.destroy();
});

Deno.test("createDecoder() works on a device without optional features or raised limits", async () => {
  const { adapter } = await openAdapter();
  const bare = await adapter.requestDevice();
  const errors: string[] = [];
  bare.addEventListener("uncapturederror", (event) => {
    errors.push((event as GPUUncapturedErrorEvent).error.message);
  });
  const decoder = await createDecoder(bare, SMALL);
  assertEquals(decoder.variant, "pipeline/sparse");
  writeMaps(bare, decoder);
  const feed = new TokenFeed(bare, decoder, [70, 3], [71, 4], 11);
  submit(bare, decoder.recordPrompt);
  feed.append();
  submit(bare, decoder.recordStep);
  await assertStep(bare, decoder, "on a bare device");
  await assertCodes(bare, decoder);
  await assertRejects(
    () => createDecoder(bare, SMALL, { variant: "pipeline/sparse_subgroup" }),
    RangeError,
    "pipeline/sparse_subgroup needs the device feature subgroups",
  );
  assertEquals(errors, []);
  decoder.destroy();
  bare.destroy();
});

Deno.test("decoder: no GPU error went uncaught", () => {
  assertEquals(uncaptured, []);
});
