/** A prompt in chunks gets the codes of the whole prompt, and a chunk leaves all others as they are. */
import { assertEquals, assertThrows } from "@std/assert";
import { bufferBytes, headStats } from "../core/layout.ts";
import { codeHeads, codeWords, isRotated } from "../core/problem/derived.ts";
import { type Problem, ROTATED_CODE } from "../core/problem/problem.ts";
import { POISON, poison, readBytes, submit, write } from "../core/run/run.ts";
import { createDecoder, type Decoder } from "../decoder/decoder.ts";
import { binding, openTestDevice } from "../../testing/device/test_device.ts";
import { anyMaps, TokenFeed } from "../../testing/cases/decode_loop.ts";

const { device, uncaptured } = await openTestDevice();

const LEARNED: Problem = {
  batch: 2,
  qHeads: 4,
  kvHeads: 2,
  headDim: 64,
  kvLen: 1,
  capacity: 256,
  dtype: "f16",
  bits: 32,
  sharing: "head",
  map: { layers: 2, hidden: 64, dtype: "f16" },
  topK: { sparsity: 8 },
  sink: 4,
  recent: 16,
};
const ROTATED: Problem = { ...LEARNED, ...ROTATED_CODE };
const CENTRED: Problem = { ...ROTATED, centre: true };
/** Lengths after each chunk. The second sequence gets nothing in the last one. */
const CHUNKS: readonly (readonly number[])[] = [[45, 7], [130, 64], [197, 64]];

/** A decoder that shares the caches and maps of another, if there is one. */
async function decoderOf(p: Problem, first?: Decoder, on = device): Promise<Decoder> {
  const { keys, values, query_map, key_map } = first?.buffers ?? {};
  const buffers = { keys, values, query_map, key_map };
  const decoder = await createDecoder(on, p, { unroll: false, buffers });
  if (!first && !isRotated(p)) {
    write(device, decoder.buffers.query_map, anyMaps(p, 1));
    write(device, decoder.buffers.key_map, anyMaps(p, 2));
  }
  return decoder;
}

/** Makes codes of the tokens from `first` up to `lengths`, with no more workgroups than they need. */
function encode(decoder: Decoder, first: readonly number[], lengths: readonly number[]): void {
  write(device, decoder.buffers.first_tokens, Uint32Array.from(first));
  write(device, decoder.buffers.lengths, Uint32Array.from(lengths));
  const tokens = Math.max(1, ...lengths.map((length, sequence) => length - first[sequence]));
  submit(device, (pass) => decoder.recordPrompt(pass, tokens));
}

async function read(decoder: Decoder, name: string): Promise<Uint8Array<ArrayBuffer>> {
  const bytes = bufferBytes(decoder.problem)[name];
  return await readBytes(device, decoder.buffers[name], 0, bytes);
}

const BUFFERS = ["codes", "factors"] as const;

/** The bytes of codes or factors of every list's tokens from `first` up to `end`. */
async function ofTokens(
  decoder: Decoder,
  name: typeof BUFFERS[number],
  first: readonly number[],
  end: readonly number[],
): Promise<number[]> {
  const { problem: p } = decoder;
  const bytes = await read(decoder, name);
  const tokenBytes = name === "factors" ? 1 : 4 * codeWords(p);
  return Array.from({ length: p.batch * codeHeads(p) }, (_, list) => {
    const sequence = Math.floor(list / codeHeads(p));
    const at = (token: number) => (list * p.capacity + token) * tokenBytes;
    return [...bytes.subarray(at(first[sequence]), at(end[sequence]))];
  }).flat();
}

const CASES: readonly [string, Problem, number?][] = [
  ["learned codes", LEARNED],
  ["rotated codes", ROTATED],
  ["rotated codes in pieces of a KV head", ROTATED, 1],
  ["learned codes in pieces of a sequence", LEARNED, 2],
];
for (const [what, p, heads] of CASES) {
  Deno.test(`a prompt in chunks gets the ${what} of the whole prompt`, async () => {
    const headBytes = bufferBytes(p).keys / (p.batch * p.kvHeads);
    const on = heads ? binding(device, heads * headBytes) : device;
    const whole = await decoderOf(p);
    const chunks = await decoderOf(p, whole, on);
    const lengths = CHUNKS.at(-1)!;
    new TokenFeed(device, whole, [...lengths], lengths, 3);
    submit(device, whole.recordPrompt);
    const none = lengths.map(() => 0);
    for (const [i, end] of CHUNKS.entries()) {
      const first = CHUNKS[i - 1] ?? none;
      const kept = BUFFERS.filter((name) => name in chunks.buffers);
      // A chunk needs none of the older codes and leaves them. Factors come by the word.
      const [known, again] = [first, first.map((token) => Math.floor(token / 4) * 4)];
      for (const name of kept) poison(device, chunks.buffers[name]);
      encode(chunks, first, end);
      for (const name of kept) {
        const from = name === "codes" && !isRotated(p) ? known : again;
        const older = await ofTokens(chunks, name, none, from);
        assertEquals(older.every((byte) => byte === POISON), true, `${name} of older tokens`);
        const newer = [known, end] as const;
        assertEquals(await ofTokens(chunks, name, ...newer), await ofTokens(whole, name, ...newer));
      }
    }
    CHUNKS.forEach((end, i) => encode(chunks, CHUNKS[i - 1] ?? none, end));
    for (const name of BUFFERS.filter((name) => name in whole.buffers)) {
      const all = [name, none, lengths] as const;
      assertEquals(await ofTokens(chunks, ...all), await ofTokens(whole, ...all), name);
    }
    // Pieces have gaps between their sums.
    if (isRotated(p) && !heads) {
      assertEquals(await read(chunks, "key_stats"), await read(whole, "key_stats"));
    }
    chunks.destroy();
    whole.destroy();
  });
}

Deno.test("chunks of centred keys keep the mean key of the first chunk", async () => {
  const whole = await decoderOf(CENTRED);
  const [chunks, appended] = [await decoderOf(CENTRED, whole), await decoderOf(CENTRED, whole)];
  new TokenFeed(device, whole, [197, 64], [197, 64], 3);
  const [start, end] = [[45, 60], [49, 64]];
  for (const decoder of [chunks, appended]) encode(decoder, [0, 0], start);
  encode(chunks, start, end);
  for (let token = 1; token <= 4; token++) {
    write(device, appended.buffers.lengths, Uint32Array.from(start, (length) => length + token));
    submit(device, appended.recordAppend);
  }
  for (const name of BUFFERS) {
    const own = [name, [0, 0], end] as const;
    assertEquals(await ofTokens(chunks, ...own), await ofTokens(appended, ...own), name);
  }
  const stats = (bytes: Uint8Array<ArrayBuffer>) => new Float32Array(bytes.buffer);
  const [ours, theirs] = [
    stats(await read(chunks, "key_stats")),
    stats(await read(appended, "key_stats")),
  ];
  assertEquals(ours.length, CENTRED.batch * CENTRED.kvHeads * headStats(CENTRED));
  // Whole numbers are added up in any order without rounding.
  assertEquals(ours, theirs);
  for (const decoder of [appended, chunks, whole]) decoder.destroy();
});

Deno.test("recordPrompt() dispatches no more than the given tokens need", async () => {
  const decoder = await decoderOf(LEARNED);
  const counted = (tokens?: number) => {
    const counts: number[] = [];
    const pass = {
      setPipeline() {},
      setBindGroup() {},
      dispatchWorkgroups: (x: number) => counts.push(x),
    };
    decoder.recordPrompt(pass as unknown as GPUComputePassEncoder, tokens);
    return counts;
  };
  const { TILE } = decoder.params["encode/prompt"];
  assertEquals(counted(), [LEARNED.capacity / TILE]);
  assertEquals(counted(1), [1]);
  assertEquals(counted(2 * TILE), [3]); // also if they begin within a word of factors
  for (const tokens of [0, 1.5, LEARNED.capacity + 1]) {
    assertThrows(() => counted(tokens), RangeError, "tokens must be a whole number from 1 to 256");
  }
  decoder.destroy();
});

Deno.test("prompts in chunks: no GPU error went uncaught", () => assertEquals(uncaptured, []));
