import { assert, assertEquals } from "@std/assert";
import { readBytes, submit, write } from "../core/run/run.ts";
import { createRandom } from "../../fixtures/random.ts";
import { joinMapHeads, type LearnedMap, packMap } from "../maps/learned_map.ts";
import { parseMap, writeMap } from "../maps/map_file.ts";
import { packBits } from "../encode/reference.ts";
import { fileOf, type MadeMap, makeMaps, preActivations } from "../../testing/inputs/maps.ts";
import { codeHeads, queriesPerList } from "../core/problem/derived.ts";
import type { Problem } from "../core/problem/problem.ts";
import { openTestDevice } from "../../testing/device/test_device.ts";
import { createDecoder } from "./decoder.ts";

const { device } = await openTestDevice();

const TOKENS = 21;
const P: Problem = {
  batch: 1,
  qHeads: 8,
  kvHeads: 2,
  headDim: 64,
  kvLen: TOKENS,
  capacity: 32,
  dtype: "f32",
  bits: 32,
  sharing: "head",
  map: { layers: 3, hidden: 128, dtype: "f16" },
  topK: { count: 4 },
  sink: 2,
  recent: 2,
};

/** A bit is not verified if its pre-activation is this close to 0. They are of order 1. */
const MARGIN = 1e-4;

/** Asserts that the code is the row's code under the map, and returns how many bits it verified. */
function verifiedBits(code: Uint32Array, map: MadeMap, row: Float32Array, what: string): number {
  const pre = preActivations(map, row);
  const want = packBits(pre);
  const verified = pre.map((value) => Math.abs(value) > MARGIN);
  verified.forEach((verify, bit) => {
    const differs = ((code[bit >> 5] ^ want[bit >> 5]) >>> (bit & 31)) & 1;
    assert(!verify || !differs, `${what}, bit ${bit} of pre-activation ${pre[bit]}`);
  });
  return verified.filter(Boolean).length;
}

function normals(count: number, seed: number): Float32Array<ArrayBuffer> {
  const random = createRandom(seed, 302);
  return Float32Array.from({ length: count }, () => random.normal());
}

/** Decodes a step with the map and compares all codes with those of the maps it was made from. */
async function assertCodes(
  p: Problem,
  map: LearnedMap,
  made: { readonly q: readonly MadeMap[]; readonly k: readonly MadeMap[] },
): Promise<void> {
  const decoder = await createDecoder(device, p, { variant: "pipeline/sparse" });
  const { buffers } = decoder;
  const { query_map, key_map } = packMap(map, p);
  const q = normals(p.qHeads * p.headDim, 1);
  const keys = normals(p.kvHeads * p.capacity * p.headDim, 2);
  for (const [name, data] of Object.entries({ query_map, key_map, q, keys })) {
    write(device, buffers[name], data);
  }
  write(device, buffers.lengths, Uint32Array.of(TOKENS));
  submit(device, decoder.recordPrompt, decoder.recordStep);
  const words = p.bits / 32;
  const read = async (name: string, count: number) =>
    new Uint32Array((await readBytes(device, buffers[name], 0, 4 * count * words)).slice().buffer);
  const codes = await read("codes", codeHeads(p) * p.capacity);
  const queryCodes = await read("query_codes", p.qHeads);
  decoder.destroy();

  const row = (rows: Float32Array, i: number) => rows.subarray(i * p.headDim, (i + 1) * p.headDim);
  const code = (all: Uint32Array, i: number) => all.subarray(i * words, (i + 1) * words);
  let verified = 0;
  for (let head = 0; head < p.qHeads; head++) {
    const owner = made.q[Math.floor(head / queriesPerList(p))];
    verified += verifiedBits(code(queryCodes, head), owner, row(q, head), `query head ${head}`);
  }
  for (let head = 0; head < codeHeads(p); head++) {
    const kvHead = Math.floor(head * p.kvHeads / codeHeads(p));
    for (let token = 0; token < TOKENS; token++) {
      const key = row(keys, kvHead * p.capacity + token);
      const got = code(codes, head * p.capacity + token);
      verified += verifiedBits(got, made.k[head], key, `code head ${head}, token ${token}`);
    }
  }
  const bits = (p.qHeads + codeHeads(p) * TOKENS) * p.bits;
  assert(verified > 0.99 * bits, `only ${verified} of ${bits} bits were verified`);
}

Deno.test("createDecoder() encodes with the map of a layer, 3 linear layers in f16", async () => {
  const made = makeMaps(8, [64, 128, 128, 32]);
  const map = parseMap(writeMap(parseMap(fileOf(made, "F16"))));
  await assertCodes(P, map, made);
});

Deno.test("createDecoder() encodes with the maps of two GQA groups, 2 layers in f32", async () => {
  const groups = [makeMaps(4, [64, 64, 64], 1), makeMaps(4, [64, 64, 64], 2)];
  const map = joinMapHeads(groups.map((group) => parseMap(fileOf(group, "F32"))));
  const p: Problem = { ...P, bits: 64, map: { layers: 2, hidden: 64, dtype: "f32" } };
  const made = { q: groups.flatMap(({ q }) => q), k: groups.flatMap(({ k }) => k) };
  await assertCodes(p, map, made);
});

Deno.test("createDecoder() encodes with one map of 128 bits for a whole group, as HATA", async () => {
  const made = makeMaps(2, [64, 128]);
  const map = parseMap(fileOf(made, "F32", { sharing: "group" }));
  const { bits, sharing, map: layers } = map.shape;
  assertEquals([bits, sharing, layers.layers], [128, "group", 1]);
  await assertCodes({ ...P, bits, sharing, map: { ...layers, dtype: "f16" } }, map, made);
});
