/** Makes the inputs that only the steps of other systems need: NSA, PQCache, DSA, FoX and MoSA. */
import { generateKv, type KvKind } from "../../fixtures/generate.ts";
import { packKv } from "../../fixtures/half.ts";
import { createRandom, type Random } from "../../fixtures/random.ts";
import type { Params } from "../../kernels/core/problem/constants.ts";
import type { Variant } from "../../kernels/core/variant.ts";
import { branchRows, INDEX } from "../../kernels/core/system_layout.ts";
import { groupSize, valueDimOf } from "../../kernels/core/problem/derived.ts";
import type { Problem } from "../../kernels/core/problem/problem.ts";
import { centroidDtype, CENTROIDS, codePlace, pqNames } from "../../kernels/encode/pq.ts";
import { decayBlocks } from "../../kernels/attend/decayed.ts";
import { keptDecays, normOf } from "../../kernels/attend/decay_reference.ts";
import { slotCapacity } from "../../kernels/encode/route.ts";
import { slotsOf } from "../../kernels/encode/route_reference.ts";
import { compressedRows, NSA } from "../../kernels/pipeline/nsa_reference.ts";
import { byteRowReference } from "../../kernels/score/reference.ts";
import { type InputOptions, STREAM } from "./input_options.ts";

/**
 * The caches of NSA's branches, and the queries. All keys are made for these queries, but lie in
 * another order in each branch, and values are its own. Rows that a step must not read are NaN.
 */
export function branchCaches(
  p: Problem,
  { lengths, seed, kind }: InputOptions,
): Record<string, ArrayBufferView<ArrayBuffer>> {
  const { headDim, kvHeads, capacity } = p;
  const headRows = branchRows(p);
  const valueDim = valueDimOf(p);
  const [keys, values] = [headDim, valueDim].map((dim) =>
    new Float32Array(p.batch * kvHeads * headRows * dim).fill(NaN)
  );
  const branches = [
    { first: 0, rows: (length: number) => length },
    { first: capacity, rows: compressedRows },
    {
      first: capacity + capacity / NSA.stride,
      rows: (length: number) => Math.min(length, NSA.window),
    },
  ];
  const makeKv = (rows: (length: number) => number, ownSeed: number, dim = headDim) =>
    generateKv({
      ...p,
      headDim: dim,
      kvLen: lengths.map((length) => Math.max(1, rows(length))),
      seed: ownSeed,
      kind,
    });
  branches.forEach(({ first, rows }, branch) => {
    const { k } = makeKv(rows, seed);
    const { v } = makeKv(rows, seed + 1000 * (branch + 1), valueDim);
    // So large a logit leaves nothing of the logits of another branch.
    const scale = kind === "one-huge-logit" && branch > 0 ? 2 : 1;
    for (let head = 0; head < p.batch * kvHeads; head++) {
      const count = rows(lengths[Math.floor(head / kvHeads)]);
      for (let row = 0; row < count; row++) {
        const from = head * capacity + row;
        const to = head * headRows + first;
        const place = branch === 0 ? row : count - 1 - row;
        const scaled = k.subarray(from * headDim, (from + 1) * headDim).map((x) => scale * x);
        keys.set(scaled, (to + place) * headDim);
        values.set(v.subarray(from * valueDim, (from + 1) * valueDim), (to + row) * valueDim);
      }
    }
  });
  const { q } = makeKv((length) => length, seed);
  return { q, branch_keys: packKv(keys, p.dtype), branch_values: packKv(values, p.dtype) };
}

/** The last tokens of NSA's caches, and the maps that compress them. */
export function lastTokens(
  p: Problem,
  { seed }: InputOptions,
): Record<string, ArrayBufferView<ArrayBuffer>> {
  const random = createRandom(seed, STREAM.compress);
  const normal = (count: number, scale = 1) =>
    packKv(Float64Array.from({ length: count }, () => scale * random.normal()), p.dtype);
  const span = NSA.span * p.headDim;
  return {
    raw_keys: normal(p.batch * p.kvHeads * span),
    raw_values: normal(p.batch * p.kvHeads * span),
    compress_map: normal(2 * p.kvHeads * p.headDim * span, 1 / Math.sqrt(span)),
    compress_positions: normal(2 * p.kvHeads * span),
  };
}

/** Gates from 0 to 1; every fifth head closes one. */
export function gates(p: Problem, { seed }: InputOptions): Float32Array<ArrayBuffer> {
  const random = createRandom(seed, STREAM.gates);
  return Float32Array.from(
    { length: 3 * p.batch * p.qHeads },
    (_, i) => i % 15 === 7 ? 0 : random.uniform(),
  );
}

/**
 * Centroids and product-quantised codes of `parts` parts. Every seventh centroid equals the one
 * before it. Codes that the variant makes, and those past the lengths, are poison.
 */
export function pqInputs(
  variant: Variant,
  p: Problem,
  parts: number,
  { lengths, seed, codeKind }: InputOptions,
): Record<string, ArrayBufferView<ArrayBuffer>> {
  const random = createRandom(seed, STREAM.centroids);
  const heads = p.batch * p.kvHeads;
  const elements = new Float64Array(heads * CENTROIDS * p.headDim);
  for (let i = 0; i < elements.length; i++) {
    const c = Math.floor(i / 4) % CENTROIDS;
    elements[i] = c % 7 === 6 ? elements[i - 4] : random.normal();
  }
  const codes = new Uint8Array(heads * p.capacity * parts).fill(0xff);
  for (let head = 0; head < heads; head++) {
    const length = lengths[Math.floor(head / p.kvHeads)];
    // A step makes the newest code itself.
    const known = variant.stage === "score" ? length : length - 1;
    for (let token = 0; token < known; token++) {
      for (let part = 0; part < parts; part++) {
        const at = head * p.capacity * parts + codePlace(part, token, parts, p.capacity);
        codes[at] = codeKind === "all-equal" ? 255 : random.uint32() % CENTROIDS;
      }
    }
  }
  const { centroids, pq_codes } = pqNames(parts);
  const dtype = centroidDtype(p) === 1 ? "f16" : "f32";
  return { [centroids]: packKv(elements, dtype), [pq_codes]: codes };
}

/** What the rows of an index are of, by the kind of keys. A row has a size and a spread. */
const INDEX_FLOATS: Readonly<Partial<Record<KvKind, (random: Random) => number>>> = {
  "outliers": (random) => random.normal() * (random.uniform() < 0.05 ? 1000 : 1),
  // Halves between bytes, which are rounded to even ones, and values that round to 128.
  "alternating": (random) => (random.uint32() % 255 - 127) / 2 + (random.uniform() < 0.1 ? 64 : 0),
  "tiny": (random) => 1e-33 * random.normal(),
  "zero-rows": (random) => random.uniform() < 0.5 ? 0 : -0,
};

/** The rows of an index. All keys are equal of kind `equal-logits`, so that all scores are. */
export function indexInputs(
  p: Problem,
  { lengths, seed, kind = "normal" }: InputOptions,
): Record<string, ArrayBufferView<ArrayBuffer>> {
  const random = createRandom(seed, STREAM.index);
  const { heads, dim } = INDEX;
  const floatOf = INDEX_FLOATS[kind] ?? ((each: Random) => each.normal());
  const floats = (count: number) => Float32Array.from({ length: count }, () => floatOf(random));
  const codes = new Int8Array(p.batch * p.capacity * dim).fill(-128);
  const scales = new Float32Array(p.batch * p.capacity).fill(NaN);
  const made = {
    index_queries: floats(p.batch * heads * dim),
    index_weights: Float32Array.from({ length: p.batch * heads }, () => random.normal()),
    index_keys: floats(p.batch * dim),
    index_codes: codes,
    index_scales: scales,
  };
  const equal = kind === "equal-logits";
  lengths.forEach((length, sequence) => {
    const same = made.index_keys.subarray(sequence * dim, (sequence + 1) * dim);
    for (let token = 0; token < length - 1; token++) {
      const { bytes, scale } = byteRowReference(equal ? same : floats(dim));
      codes.set(bytes, (sequence * p.capacity + token) * dim);
      scales[sequence * p.capacity + token] = scale;
    }
  });
  return made;
}

/**
 * Gates and the decays of the tokens before the newest. Heads forget at different rates, from 1.3 a
 * token to hardly at all. Of the two halves of a state the one that a step writes is poison.
 */
export function decayInputs(
  p: Problem,
  params: Params,
  keys: Float32Array,
  { lengths, seed }: InputOptions,
): Record<string, Float32Array<ArrayBuffer>> {
  const random = createRandom(seed, STREAM.decays);
  const block = params.DECAY_BLOCK;
  const blocks = decayBlocks(p, params);
  const heads = p.batch * p.qHeads;
  const made = {
    log_gates: new Float32Array(heads),
    decay_state: new Float32Array(2 * heads * (block + 2)).fill(NaN),
    decays: new Float32Array(heads * p.capacity).fill(NaN),
    block_decays: new Float32Array(heads * (blocks + 2)).fill(NaN),
  };
  for (let row = 0; row < heads; row++) {
    const length = lengths[Math.floor(row / p.qHeads)];
    const mean = -1 + 9 * (row % p.qHeads) / p.qHeads;
    if (length === 0) continue;
    const gates = Float32Array.from(
      { length },
      () => -Math.log1p(Math.exp(-mean - random.normal())),
    );
    made.log_gates[row] = gates[length - 1];
    const older = keptDecays(gates.subarray(0, length - 1), block);
    made.decays.set(older.decays, row * p.capacity);
    made.block_decays.set(older.blocks, row * (blocks + 2) + 2);
    const first = Math.floor((length - 1) / block) * block;
    const state = (2 * row + (length - 1) % 2) * (block + 2);
    made.decay_state.set([older.blocks[first / block], ...older.decays.subarray(first)], state);
    made.decay_state[state + block + 1] = largestNorm(p, keys, row, length - 1);
  }
  return made;
}

/** A bound of the norms of a query head's first keys after they are rounded to bf16 or f16. */
function largestNorm(p: Problem, keys: Float32Array, row: number, tokens: number): number {
  const first = Math.floor(row / groupSize(p)) * p.capacity;
  const norms = Array.from({ length: tokens }, (_, token) => {
    const start = (first + token) * p.headDim;
    return normOf(keys.subarray(start, start + p.headDim));
  });
  return (1 + 2 ** -8) * Math.max(0, ...norms);
}

/**
 * A router, the newest token, and the slots before it. Scores in slots are above 0.6 in even heads
 * and below 0.4 in odd ones, and a router's score is near 0.5: so odd heads take the token. A
 * fourth of the slots has scores that others have, too.
 */
export function slotInputs(
  p: Problem,
  params: Params,
  { lengths, seed, kind }: InputOptions,
): Record<string, ArrayBufferView<ArrayBuffer>> {
  const random = createRandom(seed, STREAM.slots);
  const { DENSE_HEADS: dense, MOSA_SPARSITY: sparsity } = params;
  const model = p.qHeads * p.headDim;
  const capacity = slotCapacity(p, params);
  // Every head has K and V of its own, and each slot those of some token.
  const { q, k, v } = generateKv({
    ...p,
    kvHeads: p.qHeads,
    kvLen: lengths.map((length) => Math.max(length, 1)),
    seed,
    kind,
  });
  const sparseRows = (p.qHeads - dense) * capacity;
  const rows = p.batch * (dense * p.capacity + sparseRows);
  const [slotKeys, slotValues] = [k, v].map(() => new Float32Array(rows * p.headDim).fill(NaN));
  const tokenRows = new Float32Array(2 * p.batch * model);
  const slotTokens = new Uint32Array(2 * p.batch * sparseRows).fill(0xffffffff);
  let [row, slot] = [0, 0];
  for (let head = 0; head < p.batch * p.qHeads; head++) {
    const length = lengths[Math.floor(head / p.qHeads)];
    const isDense = head % p.qHeads < dense;
    const copy = (to: Float32Array, at: number, from: Float32Array, token: number) => {
      const start = (head * p.capacity + token) * p.headDim;
      to.set(from.subarray(start, start + p.headDim), at * p.headDim);
    };
    const older = Math.max(0, length - 1);
    copy(tokenRows, 2 * head, k, older);
    copy(tokenRows, 2 * head + 1, v, older);
    const held = isDense ? older : slotsOf(older, sparsity, head % p.qHeads);
    const tokens = Array.from({ length: held }, (_, i) => Math.floor(i * older / held));
    // In no certain order.
    if (!isDense) tokens.reverse();
    tokens.forEach((token, i) => {
      copy(slotKeys, row + i, k, token);
      copy(slotValues, row + i, v, token);
      if (isDense) return;
      const base = head % 2 === 0 ? 0.6 : 0.1;
      const r = Math.fround(base + (i % 4 === 3 ? 0 : 0.3 * random.uniform()));
      slotTokens.set([new Uint32Array(Float32Array.of(r).buffer)[0], token], 2 * (slot + i));
    });
    row += isDense ? p.capacity : capacity;
    if (!isDense) slot += capacity;
  }
  const small = () => 0.1 * random.normal() / Math.sqrt(model);
  return {
    q,
    hidden: Float32Array.from({ length: p.batch * model }, () => random.normal()),
    router: packKv(Float64Array.from({ length: p.qHeads * model }, small), "f16"),
    token_rows: packKv(tokenRows, p.dtype),
    slot_keys: packKv(slotKeys, p.dtype),
    slot_values: packKv(slotValues, p.dtype),
    slot_tokens: slotTokens,
  };
}
